from agentsite.cli import main

main()
