"""Attacks on everything that a stranger, a client or a backend can reach, each with the answer that is documented.

Two layers. *stack*: the deployed stack, over real sockets. *handler*: the deployed code in this process, on events in
AWS's own form; for settings that the local stage does not have, and for what MiniStack's gateway would answer, or
flatten, in place of API Gateway (doubled headers, folded ones, frames too deep for it). What only a gateway decides is
no case here: the signatures of the HTTP APIs' tokens, requests smuggled by `Transfer-Encoding`, frames of more than
32 KB, binary frames, text that is no UTF-8, throttling.

Each case is one test, named. Its layer is its module's `LAYER`. `test_afterwards` comes last: nothing has crashed,
and everybody else is served. `build/attacks.json` has all cases with what was documented and what was answered.
"""
