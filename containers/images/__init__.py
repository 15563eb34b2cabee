"""The images of the bundled agents: a folder with a Dockerfile each. See README.md here."""
