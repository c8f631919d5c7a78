"""The embedded servers, and a nightly run started and watched on them from a shell."""
