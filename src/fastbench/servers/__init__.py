"""Server kinds: how a model gets into a server and how one inference looks on its wire."""
