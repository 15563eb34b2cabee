"""What a workspace was before and after each run, so that the difference can be shown at any later time. Synchronous.

Kept in HISTORY_DIR, outside every workspace: what a program wrote can't change what is said of it. Of text files up to
a size the content is kept, once per content; of all others only that they changed. Losing any of this costs a diff,
never a run, so nothing here is written through to the disk, and whatever can't be read is said to be not kept.

    manifest   which files there were, and what is known of each
    objects    contents by their SHA-256
    taking     a manifest of what is on disk now
    store      `History`: the manifests of one agent's runs, and the room they may take
    edits      which lines are different
    unified    how that is written
    rundiff    the difference that a run made
    past       in which runs a file changed
    copying    a workspace as it was, into another one
"""

from agents.workspace.history.copying import copy_as_it_was
from agents.workspace.history.past import changes_of
from agents.workspace.history.rundiff import FileDiff, RunDiff, TotalDiff, of_agent, of_run
from agents.workspace.history.store import History

__all__ = ["FileDiff", "History", "RunDiff", "TotalDiff", "changes_of", "copy_as_it_was", "of_agent", "of_run"]
