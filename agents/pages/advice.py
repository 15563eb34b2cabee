"""What to do about an error, in one sentence. The codes, and more words, are in docs/errors.md."""

from __future__ import annotations

ADVICE = {
    "container-exit": "The program ended by itself; its last lines are above, and the rest is in its output.",
    "container-gone": "Its container was removed while it worked. Try again.",
    "host-lost": "Its host is gone, and its program may still be at work there. Try again; another host takes it.",
    "out-of-memory": "It needed more memory than limits.memory_mib gives. Raise that, or give it less to do.",
    "approval-timeout": "Nobody answered in time. Try again and answer sooner, or raise approval_timeout_s.",
    "time-limit": "It took longer than limits.wall_s allows. Continue it, or raise that.",
    "output-limit": "It printed more than limits.output_mib allows. Raise that, or let it print less.",
    "budget-exceeded": "It wanted more than its budget. Raise the budget, or try again with less to do.",
    "workspace-full": "Its files take more than limits.workspace_mib. Delete some, or raise that; then continue.",
    "disk-full": "The site's disk is almost full, so nothing was started. Free some space, then try again.",
    "provider-echoed-key": "An answer held the site's key. Change the key, and look at what is behind the address.",
    "line-too-long": "One line was cut; the run went on. The program should print smaller lines.",
    "output-after-done": "The program printed after its end. The result is whole; the program should be mended.",
    "agent-ended": "The program ended before it had answered. What it said last is in its output.",
    "agent-error": "The program refused to begin or to go on; its words are above.",
    "agent-auth-required": "The program wants to be logged in. Look at how its definition gives it a provider.",
    "agent-protocol": "The program speaks another version of the protocol. Take a version of it that fits.",
    "max-tokens": "It stopped at its limit of tokens. Continue it, or ask for less.",
    "max-turn-requests": "It stopped at its limit of steps. Continue it, or ask for less.",
    "refusal": "The model refused. Ask for it otherwise.",
    "image-missing": "Its image is not on the worker's machine. The message names the command that gets it.",
    "image-pull-failed": "Its image could not be pulled. Pull it on the worker's machine, then try again.",
    "start-failed": "It could not be started. Look at command, runtime and user of its definition.",
    "spec-refused": "This engine may not run this definition. A container engine can.",
    "engine-unavailable": "The engine does not answer. `agentsite doctor` says what is wrong; then try again.",
    "engine-permission": "The engine does not answer to this user. `agentsite doctor` says what is wrong.",
    "unknown-definition": "Its definition is not there any more. Put it back, or make another agent.",
    "invalid-definition": "Its definition has a mistake. Correct it in agents.toml, then try again.",
    "choice-not-allowed": "Its definition no longer allows its model or tools. Make a new agent, or allow them there.",
    "workspace-missing": "Its files can't be reached: their directory is missing on the server. They may still exist.",
    "workspace-unreadable": "Its files could not be looked at. Look at the permissions of its workspace.",
}


def of(code: str) -> str:
    """Empty for a program's own codes: its message is all that we know."""
    return ADVICE.get(code, "")
