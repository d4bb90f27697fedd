"""Boards, parts and families."""
