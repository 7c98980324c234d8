"""The results room: published rounds and one's own runs in one store, and the questions it answers."""
