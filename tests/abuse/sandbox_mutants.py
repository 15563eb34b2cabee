"""What bwrap's sandbox is made of, taken out: see mutants.py."""

from __future__ import annotations

from tests.mutation import Change, Mutant

BWRAP, CGROUPS = "containers/engines/bwrap_command.py", "containers/engines/cgroups.py"
RECORDER, CONFINEMENT = "containers/engines/recorder.py", "containers/engines/confinement.py"
RESOURCES, ESCAPES = "tests/abuse/test_resources.py", "tests/abuse/test_escapes.py"
PROFILE = "tests/containers/test_profile.py"
ISOLATION, LIMITS = "tests/containers/bwrap/test_isolation.py", "tests/containers/bwrap/test_limits.py"

SANDBOX = {
    "sandbox: network": Mutant(
        f"{ESCAPES}::test_the_network[bwrap]", [Change(BWRAP, '"pid", "net", "ipc"', '"pid", "ipc"')]
    ),
    "sandbox: sockets of others": Mutant(
        f"{ESCAPES}::test_another_container[bwrap]", [Change(BWRAP, '"pid", "net", "ipc"', '"pid", "ipc"')]
    ),
    "sandbox: other namespaces": Mutant(
        f"{ISOLATION}::test_all_namespaces_are_its_own", [Change(BWRAP, '"ipc", "uts", "cgroup-try"', '"uts"')]
    ),
    "sandbox: read-only machine": Mutant(
        f"{ESCAPES}::test_the_hosts_files[bwrap]",
        [Change(BWRAP, '["--ro-bind", "/usr", "/usr"]', '["--bind", "/usr", "/usr"]')],
    ),
    "sandbox: read-only root": Mutant(
        f"{PROFILE}::test_only_workspace_tmp_and_shm_can_be_written[bwrap]",
        [Change(BWRAP, '*("--remount-ro", "/"),', "")],
    ),
    "sandbox: what it is shown": Mutant(
        f"{ESCAPES}::test_the_hosts_files[bwrap]", [Change(BWRAP, '"--dir", "/run"', '"--ro-bind", "/run", "/run"')]
    ),
    "sandbox: what lies in /usr": Mutant(
        f"{ISOLATION}::test_what_is_to_be_hidden_is_hidden_wherever_it_lies",
        [Change(BWRAP, "*_masks(hidden, Path(interpreter.path)),", "")],
    ),
    "sandbox: files of the kernel": Mutant(
        f"{ISOLATION}::test_files_of_the_kernel_are_not_there_to_be_read_or_written",
        [Change(BWRAP, "for name in PROC_FILES:", "for name in ():")],
    ),
    "sandbox: environment": Mutant(
        f"{ESCAPES}::test_the_hosts_files[bwrap]",
        [
            Change(BWRAP, ', "--clearenv"', ""),
            Change(RECORDER, 'command, spec["env"])', "command, dict(os.environ))"),
            Change("containers/engines/recorded.py", "command, env={}, stdin", "command, stdin"),
        ],
    ),
    "sandbox: system calls": Mutant(
        f"{ESCAPES}::test_system_calls_that_no_agent_needs[bwrap]", [Change(BWRAP, '*("--seccomp", "4"),', "")]
    ),
    "sandbox: nobody": Mutant(
        f"{ISOLATION}::test_nothing_of_a_sandbox_is_root_outside_of_it",
        [Change(CONFINEMENT, "os.setresuid(uid, uid, uid)", "pass")],
    ),
    "sandbox: memory": Mutant(
        f"{RESOURCES}::test_memory_of_the_program[bwrap]",
        [
            Change(CGROUPS, '{"memory.max": memory, "memory.swap.max": "0"}', "{}"),
            Change(CGROUPS, '{"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory}', "{}"),
        ],
    ),
    "sandbox: processes": Mutant(
        f"{RESOURCES}::test_processes_are_counted[bwrap]",
        [
            Change(CGROUPS, 'return {"pids.max": pids}', "return {}"),
            Change(BWRAP, 'f"--nproc={pids}:{pids}"', '"--nproc=4096:4096"'),
        ],
    ),
    "sandbox: size of tmp": Mutant(
        f"{RESOURCES}::test_filling_what_is_memory[bwrap-/tmp]", [Change(BWRAP, 'f"size={size},nr_', 'f"nr_')]
    ),
    "sandbox: size of shm": Mutant(
        f"{RESOURCES}::test_filling_what_is_memory[bwrap-/dev/shm]", [Change(BWRAP, 'f"size={size},nr_', 'f"nr_')]
    ),
    "sandbox: inodes of tmp": Mutant(
        f"{RESOURCES}::test_filling_tmp_with_empty_files[bwrap]", [Change(BWRAP, ",nr_inodes={TMP_INODES}", "")]
    ),
    "sandbox: kill": Mutant(
        f"{RESOURCES}::test_it_ignores_sigterm_and_has_a_hundred_children_in_sessions_of_their_own[bwrap]",
        [Change(RECORDER, "if self.kill_at is not None and time.monotonic() >= self.kill_at:", "if False:")],
    ),
    "sandbox: room in the journal": Mutant(
        f"{RESOURCES}::test_a_gigabyte_of_output[bwrap-stdout]",
        [Change(RECORDER, 'spec["output_bytes"] + OVER_BYTES', "2**20")],
    ),
    "sandbox: end with its recorder": Mutant(
        f"{LIMITS}::test_sandbox_dies_with_its_recorder_and_that_is_told",
        [
            Change(BWRAP, '"--die-with-parent", ', ""),
            Change(RECORDER, "_prctl(PR_SET_PDEATHSIG, signal.SIGKILL)", "pass"),
            Change("containers/engines/process_state.py", "            kill_leftover(state)\n", ""),
        ],
    ),
    "left running": Mutant(
        "tests/contract/test_engines.py::test_nothing_outlives_the_program[process]",
        [Change(RECORDER, "self.follow_main()\n        self.kill_all()", "self.follow_main()")],
    ),
    "sandbox: read-only gateway": Mutant(
        "tests/agents/test_egress.py::test_a_program_can_change_nothing_in_the_gateways_directory[bwrap]",
        [
            Change(BWRAP, '("--ro-bind", at["gateway"], INSIDE)', '("--bind", at["gateway"], INSIDE)'),
            Change("containers/gateway/place.py", "directory.chmod(0o755)", "directory.chmod(0o777)"),
        ],
    ),
}
