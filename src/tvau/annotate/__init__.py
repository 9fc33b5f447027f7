"""Dialogs about targets, made from masks, tracks and, if there is one, a describing LVLM (section 3.3 of the paper)."""
