"""Running searchers, Trialist's and others', on tasks; keeping what they did; and comparing them. Knows no page and no figure."""
