"""What programs and Agentsite say to each other over stdin and stdout. Bytes in, values out; no I/O."""
