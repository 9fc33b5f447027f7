"""`tvau ui`: the web page."""

import tempfile
from pathlib import Path
from threading import Event

from tvau.errors import OptionError


def ui(
    videos: list[str] = [],  # noqa: B006 - read only
    ckpt: str | None = None,
    backbone: str | None = None,
    stride: int = 1,
    host: str = "127.0.0.1",
    port: int = 7860,
    most: str = "500mb",
) -> None:
    """Opens a page in the browser: a video under its heatmap, its events, and a conversation beside it.

    Whoever reaches the page can upload videos and ask about them: it answers this machine only, unless --host says
    otherwise, and there it has neither password nor encryption.

    Args:
        videos: files or folders of frames to choose from on the page, beside what is uploaded.
        ckpt: a checkpoint or a model's folder; none: the model that comes with tvau.
        backbone: the LVLM it belongs to; none: the one that it names.
        stride: look at every so many-th frame.
        host: the address that it answers on.
        port: the port.
        most: an upload has at most, such as 500mb or 2gb.

    Raises:
        OptionError: gradio is not installed, a video is missing, or the port is taken.
    """
    import os

    paths = [Path(video) for video in videos]
    if missing := [str(path) for path in paths if not path.exists()]:
        raise OptionError(f"{', '.join(missing)}: no such video")
    with tempfile.TemporaryDirectory(prefix="tvau-ui-") as kept:
        # before the import: nothing is sent anywhere, and what visitors leave goes with the server
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": kept}
        try:
            import gradio
        except ImportError as error:
            raise OptionError("the page needs gradio: pip install 'tvau[ui]'") from error

        import tvau
        from tvau.ui.page import page

        blocks = page(tvau.load(ckpt, backbone), paths, stride, Path(kept))
        try:
            blocks.launch(
                server_name=host, server_port=port, max_file_size=most, quiet=True, theme=gradio.themes.Default(
                    font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
                prevent_thread_lock=True, footer_links=[],
            )  # fmt: skip
        except OSError as error:
            raise OptionError(f"{host}:{port} cannot be opened ({error}); choose another --port") from error
        print(f"tvau: http://{host}:{blocks.server_port}  (Ctrl-C ends it)", flush=True)
        try:
            Event().wait()
        finally:
            blocks.close()
