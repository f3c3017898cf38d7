"""Allocates with more different call stacks than there is room for: 600 lines, each called from 400 others."""
LINES, CALLERS, CLOSINGS = 600, 400, 50

kept = []
body = "".join(f"    kept.append(bytes({line}))\n" for line in range(2, LINES + 2))
calls = "".join("    allocate()\n" for _ in range(CALLERS))
names = {"kept": kept}
exec(compile("def allocate():\n" + body, "<allocating>", "exec"), names)
exec(compile("def call():\n" + calls, "<calling>", "exec"), names)
names["call"]()


def closing():
    shared = 0
    return lambda: shared


# What `closing` shares with the function in it is made while its frame is set up, so the caller's line has it.
closings = "".join("    kept.append(closing())\n" for _ in range(CLOSINGS))
names = {"kept": kept, "closing": closing}
exec(compile("def close():\n" + closings, "<closing>", "exec"), names)
for _ in range(10):
    names["close"]()
