"""Allocates with more different call stacks than there is room for: 600 lines, each called from 400 others."""
LINES, CALLERS = 600, 400

kept = []
body = "".join(f"    kept.append(bytes({line}))\n" for line in range(2, LINES + 2))
calls = "".join("    allocate()\n" for _ in range(CALLERS))
names = {"kept": kept}
exec(compile("def allocate():\n" + body, "<allocating>", "exec"), names)
exec(compile("def call():\n" + calls, "<calling>", "exec"), names)
names["call"]()
