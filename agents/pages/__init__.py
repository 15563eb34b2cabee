"""The pages: rendered on the server so that they read without JavaScript, then live by static/agents/*.js.

    conversation    the folded state as turns, ready for a template
    markdown        an agent's Markdown as safe HTML; `links` decides where it may point, `terminal` reads escapes
    views, urls     list, new agent, agent page, and the forms that work without JavaScript

static/agents holds the same views for the browser: conversation.js, markdown.js, links.js, terminal.js.
"""
