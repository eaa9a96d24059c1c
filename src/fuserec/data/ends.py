"""Whether a media file goes on to its end, told from a few bytes: copies and downloads that stopped are common."""

from pathlib import Path

from fuserec.errors import MediaError

LAST = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}  # the last bytes of a whole picture
UNKNOWN = 0x7FFF0000  # bytes; programs that write into a pipe promise this much or more, for they do not know
SHARE = 0.99  # of the promised bytes: some programs count the header too


def ends_whole(path: Path, format: str | None) -> bool:
    """Picture file and its format → whether it ends as it should; False also where that cannot be told."""
    last = LAST.get(format or "")
    if last is None:
        return False
    with path.open("rb") as file:
        file.seek(-len(last), 2)
        return file.read() == last


def check_wav_length(path: Path) -> None:
    """Raise `MediaError` for a WAV file that is shorter than its header promises; other files are not looked at."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return
        while len(chunk := file.read(8)) == 8:  # a name of four letters, and how many bytes follow
            promised = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                if promised < UNKNOWN and size - file.tell() < SHARE * promised:
                    raise MediaError("the file ends before its sound does")
                return
            file.seek(promised + promised % 2, 1)
