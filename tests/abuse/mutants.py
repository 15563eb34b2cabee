"""Protections taken out one at a time, and the test that has to notice.

`.venv/bin/python -m tests.abuse.mutants [NAME …]`. The table in docs/security.md is made of what this prints. Here are
those of containers and of what is behind them; sandboxes and words have files of their own.
"""

from __future__ import annotations

import re
import sys

from tests.abuse.sandbox_mutants import SANDBOX
from tests.abuse.word_mutants import WORDS
from tests.mutation import Change, Mutant, mutated, run_in

CONFIG, DOCKER = "containers/engines/docker_config.py", "containers/engines/docker.py"
WORKSPACE, EXECUTION = "agents/workspace/directory.py", "agents/worker/execution/execution.py"
DESTINATIONS, GATEWAY = "containers/gateway/destinations.py", "containers/gateway/server.py"
RESOURCES, ESCAPES = "tests/abuse/test_resources.py", "tests/abuse/test_escapes.py"
EGRESS, SIZE, USAGE = "tests/agents/test_egress.py", "tests/agents/test_workspace_size.py", "agents/workspace/usage.py"
MATCHES = "if not any(pattern.matches(destination) for pattern in self."
INSPECT = "await self._signals.patiently(lambda: self._engine.inspect(known), signals.TAKEOVER_PATIENCE_S)"


CONTAINER = {
    "processes": Mutant(
        f"{RESOURCES}::test_processes_are_counted[docker]",
        [Change(CONFIG, '"PidsLimit": limits.pids,', '"PidsLimit": 4096,')],
    ),
    "memory": Mutant(
        f"{RESOURCES}::test_memory_of_a_child_that_nobody_misses[docker]",
        [
            Change(CONFIG, '"Memory": limits.memory_bytes,', ""),
            Change(CONFIG, '"MemorySwap": limits.memory_bytes,', ""),
        ],
    ),
    "oom of a child": Mutant(
        f"{RESOURCES}::test_memory_of_a_child_that_nobody_misses[docker]",
        [Change("agents/outcome.py", "if exit_.oom_killed and (exit_.code or said is None):", "if False:")],
    ),
    "size of tmp": Mutant(
        f"{RESOURCES}::test_filling_what_is_memory[docker-/tmp]", [Change(CONFIG, ",size={limits.tmp_bytes}", "")]
    ),
    "inodes of tmp": Mutant(
        f"{RESOURCES}::test_filling_tmp_with_empty_files[docker]", [Change(CONFIG, "{TMP_FILES},mode", ",mode")]
    ),
    "size of shm": Mutant(
        f"{RESOURCES}::test_filling_what_is_memory[docker-/dev/shm]",
        [Change(CONFIG, '"ShmSize": limits.shm_bytes,', '"ShmSize": 2**30,')],
    ),
    "output": Mutant(
        f"{RESOURCES}::test_a_gigabyte_of_output[docker-stderr]",
        [Change(EXECUTION, "if pump.over_limit:", "if False:")],
    ),
    "room for tiny lines": Mutant(
        f"{RESOURCES}::test_a_million_tiny_lines[docker]", [Change(CONFIG, "LOG_OVERHEAD = 72", "LOG_OVERHEAD = 8")]
    ),
    "wall time": Mutant(
        f"{RESOURCES}::test_fork_bomb[docker]", [Change(EXECUTION, "if monotonic() >= deadline:", "if False:")]
    ),
    "kill": Mutant(
        f"{RESOURCES}::test_it_ignores_sigterm_and_has_a_hundred_children_in_sessions_of_their_own[docker]",
        [
            Change(DOCKER, '_signal_and_wait(ref, "SIGKILL"', '_signal_and_wait(ref, "SIGTERM"'),
        ],
    ),
    "init": Mutant(
        f"{RESOURCES}::test_zombies_and_orphans[docker]", [Change(CONFIG, '"Init": True,', '"Init": False,')]
    ),
    "network": Mutant(f"{ESCAPES}::test_the_network[docker]", [Change(CONFIG, '"NetworkMode": "none",', "")]),
    "network of others": Mutant(
        f"{ESCAPES}::test_another_container[docker]",
        [Change(CONFIG, '"NetworkMode": "none",', '"NetworkMode": "host",')],
    ),
    "processes of others": Mutant(
        f"{ESCAPES}::test_another_container[docker]", [Change(CONFIG, '"Privileged": False,', '"PidMode": "host",')]
    ),
    "read-only root": Mutant(
        f"{ESCAPES}::test_the_hosts_files[docker]",
        [Change(CONFIG, '"ReadonlyRootfs": True,', '"ReadonlyRootfs": False,')],
    ),
    "nobody": Mutant(
        f"{ESCAPES}::test_the_hosts_files[docker]", [Change(CONFIG, '"User": spec.user,', '"User": "0:0",')]
    ),
    "nobody and capabilities": Mutant(
        f"{ESCAPES}::test_links_devices_and_pipes_in_the_workspace[docker]",
        [Change(CONFIG, '"User": spec.user,', '"User": "0:0",'), Change(CONFIG, '"CapDrop": ["ALL"],', "")],
    ),
    "system calls": Mutant(
        f"{ESCAPES}::test_system_calls_that_no_agent_needs[docker]",
        [Change(CONFIG, 'f"{PROFILE}{profile_json()}"', '"seccomp=unconfined"')],
    ),
    "only its own workspace": Mutant(
        f"{ESCAPES}::test_the_hosts_files[docker]",
        [Change(CONFIG, '"Source": str(source),', '"Source": str(source.parent),')],
    ),
    "links in listings": Mutant(
        f"{ESCAPES}::test_links_devices_and_pipes_in_the_workspace[docker]",
        [Change("agents/workspace/walk.py", "follow_symlinks=False", "follow_symlinks=True")],
    ),
    "links in downloads": Mutant(
        f"{ESCAPES}::test_links_devices_and_pipes_in_the_workspace[docker]",
        [
            Change(WORKSPACE, "_regular(os.stat(name, dir_fd=parent, follow_symlinks=False))", "pass"),
            Change(WORKSPACE, "_EXISTING = os.O_RDONLY | os.O_NOFOLLOW |", "_EXISTING = os.O_RDONLY |"),
        ],
    ),
    "directories that are links": Mutant(
        f"{ESCAPES}::test_links_devices_and_pipes_in_the_workspace[docker]",
        [Change("agents/workspace/paths.py", "os.O_NOFOLLOW | ", "")],
    ),
    "size of the workspace": Mutant(
        f"{SIZE}::test_a_run_that_fills_its_workspace_ends_and_the_next_one_needs_room[process]",
        [
            Change(
                "agents/worker/execution/workspace_watch.py",
                "if self._used_bytes <= self._limit_mib * MIB:",
                "if True:",
            )
        ],
    ),
    "room on the disk": Mutant(
        f"{SIZE}::test_what_counts_is_room_on_the_disk",
        [Change(USAGE, "status.st_blocks * _STAT_BLOCK_BYTES", "status.st_size")],
    ),
    "small files": Mutant(
        f"{SIZE}::test_many_small_files_take_room_too",
        [
            Change(
                USAGE, "max(ENTRY_BYTES, status.st_blocks * _STAT_BLOCK_BYTES)", "status.st_blocks * _STAT_BLOCK_BYTES"
            )
        ],
    ),
    "links that are counted": Mutant(
        f"{SIZE}::test_links_lead_nowhere",
        [
            Change(USAGE, "found.is_dir(follow_symlinks=False)", "found.is_dir()"),
            Change("agents/workspace/paths.py", "os.O_NOFOLLOW | ", ""),
        ],
    ),
    "words that are the site's": Mutant(
        f"{EGRESS}::test_a_program_cannot_say_what_only_the_gateway_says",
        [Change("agents/programs/translator.py", 'return said.get("stream") == "egress"', "return False")],
    ),
    "definition's egress": Mutant(
        f"{EGRESS}::test_a_container_reaches_what_its_definition_names_and_nothing_else[docker]",
        [Change(DESTINATIONS, f"{MATCHES}_wanted):", "if False:")],
    ),
    "site's egress": Mutant(
        f"{EGRESS}::test_the_site_says_how_far_a_definition_may_go",
        [Change(DESTINATIONS, f"{MATCHES}_site):", "if False:")],
    ),
    "addresses": Mutant(
        f"{EGRESS}::test_a_container_reaches_what_its_definition_names_and_nothing_else[docker]",
        [Change(GATEWAY, "if addresses.is_public(address)]", "]")],
    ),
    "read-only gateway": Mutant(
        f"{EGRESS}::test_a_program_can_change_nothing_in_the_gateways_directory[docker]",
        [
            Change(CONFIG, '"Target": INSIDE, "ReadOnly": True', '"Target": INSIDE, "ReadOnly": False'),
            Change("containers/gateway/place.py", "directory.chmod(0o755)", "directory.chmod(0o777)"),
        ],
    ),
    "pace of reports": Mutant(
        "tests/containers/gateway/test_server.py::test_a_flood_of_connections_is_no_flood_of_reports",
        [Change("containers/gateway/pace.py", "if self._tokens < 0:", "if False:")],
    ),
    "connections at once": Mutant(
        "tests/containers/gateway/test_server.py::test_no_more_connections_at_once_than_allowed",
        [Change(GATEWAY, "async with self._places:", "if True:")],
    ),
    "socket taken over": Mutant(
        f"{EGRESS}::test_another_worker_takes_the_gateway_over[docker]",
        [
            Change(
                "agents/worker/execution/execution.py",
                f"{INSPECT}\n            await self._open_gateway()",
                INSPECT,
            )
        ],
    ),
}


MUTANTS = {**CONTAINER, **SANDBOX, **WORDS}


def main() -> None:
    for name in sys.argv[1:] or MUTANTS:
        test, changes = MUTANTS[name]
        with mutated(changes) as copy:
            done = run_in(copy, "pytest", "-n0", "-q", "-x", "-p", "no:cacheprovider", test)
        why = re.findall(r"^E +(\S.*)$", done.stdout, re.MULTILINE)
        outcome = {0: "NOT NOTICED", 1: "noticed"}.get(done.returncode, "BROKEN")
        print(f"{name}: {outcome}: {test}: {why[0][:150] if why else done.stdout[-300:]}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
