"""Tells of a receiver's fault without telling what a frame said."""

import asyncio
import traceback


def where(fault: BaseException) -> str:
    """The kind of a fault and the line it came from; never its text, which may quote a frame."""
    frames = traceback.extract_tb(fault.__traceback__)
    place = f" in {frames[-1].name} ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return type(fault).__name__ + place


def report_to_loop(fault: Exception) -> None:
    """Tell the loop's exception handler, without the exception itself."""
    message = f"A fault ended one connection: {where(fault)}"
    asyncio.get_running_loop().call_exception_handler({"message": message})
