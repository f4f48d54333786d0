"""D-ID's cloud as a renderer: their HTTP contract and what must never be bought twice.

`key` says who pays, `client` speaks HTTP, `wire` reads the answers, `errors` translates the
refusals, `uploads` prepares picture and voice, `order` remembers on disk what was sent,
`ordering` places it once, `waiting` waits for it, `estimate` guesses how long that takes,
`result` checks the film. The stages are elsewhere.
"""
