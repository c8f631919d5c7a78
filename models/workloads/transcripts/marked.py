"""Mark the errors of a transcript in HTML."""

import html


def mark_errors(reference: str, text: str) -> str:
    """Return a text as HTML with its errors marked: `ins` is too much, `del` is missing, `b` is another letter."""
    import jiwer

    found = jiwer.process_characters([reference], [text])
    parts = []
    for chunk in found.alignments[0]:
        wanted = html.escape(reference[chunk.ref_start_idx : chunk.ref_end_idx])
        heard = html.escape(text[chunk.hyp_start_idx : chunk.hyp_end_idx])
        parts.append(
            {"equal": heard, "insert": f"<ins>{heard}</ins>", "delete": f"<del>{wanted}</del>"}.get(
                chunk.type, f'<b title="{wanted}">{heard}</b>'
            )
        )
    return "".join(parts)
