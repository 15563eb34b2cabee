"""Commands on agents and runs: create, submit, cancel, retry, answer. Everything that people ask for starts here."""
