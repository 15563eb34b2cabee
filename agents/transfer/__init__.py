"""A whole agent as JSON Lines, out of a site and into one.

agent       its definition, title and metadata; always the first line
run         one a run: what the log does not say of it
state       of a log whose first events are not there any more: what they came to
page        the conversation before that state, the newest page first
…           the events of its log, byte for byte as on the wire
file        a file of its workspace; then its bytes, as `file-data` lines
end         the last line: how many events, pages and files there were, so that a cut file is not taken for a whole one
"""

from agents.transfer.exporting import export_lines
from agents.transfer.forking import fork_agent
from agents.transfer.importing import import_agent
from agents.transfer.lines import ImportInvalid

__all__ = ["ImportInvalid", "export_lines", "fork_agent", "import_agent"]
