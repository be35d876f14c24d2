"""The artifact that ships, and what a store calls the memories that it makes for `default`."""

from model.artifact import Artifact, folder_of
from service.memory.store import memory_name

FINGERPRINT = Artifact(folder_of(None)).fingerprint_text
MEMORIES = memory_name("default", FINGERPRINT)
