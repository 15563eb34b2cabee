"""The pages: rendered on the server so that they read without JavaScript, then live by static/agents/*.js.

    conversation    the folded state as turns, ready for a template
    markdown        an agent's Markdown as safe HTML; `links` decides where it may point, `terminal` reads escapes
    search          which agents the list shows; `listing` is the page, `bulk` what is done to several of them
    new             the form of a new agent, made from its definition; `forms` has the fields
    overview        the page of numbers; `figures` counts them, `charts` draws them
    views, urls     the agent page, and the forms that work without JavaScript

static/agents holds the same views for the browser: conversation.js, markdown.js, links.js, terminal.js.
"""
