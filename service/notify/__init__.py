"""Telling people and their tools of episodes."""
