"""Meshes: reading and writing them, cameras, and renders of texture coordinates."""
