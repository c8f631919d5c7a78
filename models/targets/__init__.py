"""Models as files of other runtimes: written and judged there, each in an environment of its own."""
