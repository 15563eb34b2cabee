"""The pages: rendered on the server so that they read without JavaScript, then live by static/agents/*.js.

    conversation    the folded state as turns, ready for a template
    markdown        an agent's Markdown as safe HTML; `links` decides where it may point, `terminal` reads escapes
    run             what is known of a run: its row, its attempts, its events; `advice` says what to do about its error
    timeline        what a run spent its time on, from its events; `waterfall` is how that is drawn
    changes         what changed in a workspace; `diff` reads a file's diff, `visible` shows characters that hide
    tree            a workspace's files as folders; `viewer` is one file, `highlight` its keywords and strings
    panels          files and runs beside the conversation; `side` is what of that is not in the folded state
    search          which agents the list shows; `listing` is the page, `bulk` what is done to several of them
    new             the form of a new agent, made from its definition; `forms` has the fields
    overview        the page of numbers; `figures` counts them, with `percentiles`; `charts` draws them
    views, urls     the agent page, and forms that work without JavaScript; `run_views`, `file_views`: what runs left

static/agents holds the same views for the browser: conversation.js, markdown.js, links.js, terminal.js, tree.js.
"""
