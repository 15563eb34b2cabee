"""The pages. Lists, runs and files are rendered on the server; static/agents adds what is live. Of the agent page the
server makes the frame only: its script draws the state that comes along, and follows the stream.

    markdown        an agent's Markdown as safe HTML; `links` decides where it may point
    run             what is known of a run: its row, its attempts, its events; `advice` says what to do about its error
    timeline        what a run spent its time on, from its events; `waterfall` is how that is drawn
    changes         what changed in a workspace; `diff` reads a file's diff, `visible` shows characters that hide
    tree            a workspace's files as folders; `viewer` is one file, `highlight` its keywords and strings
    transcript      the conversation as plain text, a page at a time
    side            what stands beside the conversation and is not in the folded state
    search          which agents the list shows; `listing` is the page, `bulk` what is done to several of them
    new             the form of a new agent, made from its definition; `forms` has the fields
    overview        the page of numbers; `figures` counts them, with `percentiles`; `charts` draws them
    views, urls     the agent page and its forms; `run_views`, `file_views`: what runs left
"""
