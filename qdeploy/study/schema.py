"""Versions of the store: SQL that makes each from the one before it."""

from __future__ import annotations

# Of the file's header, so that another program's file is not taken for a store.
APPLICATION = 0x51445354  # "QDST"
MIGRATIONS: tuple[str, ...] = (
    # 1: trials, and where each is used.
    """
    CREATE TABLE trials (
        address TEXT PRIMARY KEY, recipe TEXT NOT NULL, start_from TEXT,
        state TEXT NOT NULL DEFAULT 'waiting', attempts INTEGER NOT NULL DEFAULT 0,
        result TEXT, error TEXT, seconds REAL, finished TEXT);
    CREATE TABLE cells (
        study TEXT NOT NULL, scale TEXT NOT NULL, network TEXT NOT NULL, variant TEXT NOT NULL,
        seed INTEGER NOT NULL, address TEXT, phase TEXT NOT NULL, floating INTEGER NOT NULL,
        note TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (study, scale, network, variant, seed));
    """,
    # 2: who made a result, what memory it took, and hardware.
    """
    CREATE TABLE makers (id INTEGER PRIMARY KEY, record TEXT NOT NULL UNIQUE);
    ALTER TABLE trials ADD COLUMN maker INTEGER REFERENCES makers (id);
    ALTER TABLE trials ADD COLUMN peak_mib REAL;
    CREATE TABLE builds (
        address TEXT NOT NULL REFERENCES trials (address), board TEXT NOT NULL,
        options TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
        result TEXT, error TEXT, seconds REAL, finished TEXT,
        maker INTEGER REFERENCES makers (id),
        PRIMARY KEY (address, board, options));
    """,
)
VERSION = len(MIGRATIONS)
