"""Machine: one Fly app with its addresses, one volume, one machine; its life in sibling steps."""
