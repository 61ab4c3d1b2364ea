"""Downloaders and parsers of other people, in Python: every frame arrives, by DASH and by HLS."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import m3u8
import yt_dlp
from mpegdash.parser import MPEGDASHParser

MEDIA = f"{os.environ['TRITON_URL']}/media/{os.environ['TRITON_VIDEO']}"
FRAMES = int(os.environ["TRITON_FRAMES"])
SECONDS = FRAMES / int(os.environ["TRITON_FPS"])
MANIFESTS = [f"{MEDIA}/manifest.mpd", f"{MEDIA}/master.m3u8"]
# A block of AAC is the least that sound can be longer than its picture.
AAC_BLOCK_S = 1024 / 48000


def streams(path: Path) -> dict[str, dict]:
    """What ffprobe counts in a file, by the kind of stream."""
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(path)]
    report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return {stream["codec_type"]: stream for stream in report["streams"]}


class Listener:
    """Hears what yt-dlp has to complain about."""

    def __init__(self):
        self.complaints = []

    def debug(self, message: str):
        """Says what it does."""

    def warning(self, message: str):
        # That it knows no site by our address is no complaint.
        if "generic information extractor" not in message:
            self.complaints.append(message)

    error = warning


def download(manifest: str, choice: str, folder: str) -> list[Path]:
    """Downloads the chosen formats into a folder, and fails for any warning."""
    listener = Listener()
    options = {"format": choice, "outtmpl": "%(format_id)s.%(ext)s", "paths": {"home": folder}, "logger": listener}
    with yt_dlp.YoutubeDL({**options, "noprogress": True}) as downloader:
        code = downloader.download([manifest])
    assert (code, listener.complaints) == (0, []), f"yt-dlp ended with {code}: {listener.complaints}"
    return sorted(Path(folder).iterdir())


class Downloads(unittest.TestCase):
    """yt-dlp against both manifests."""

    def test_best_picture_and_sound_arrive_whole(self):
        for manifest in MANIFESTS:
            with self.subTest(manifest), tempfile.TemporaryDirectory() as folder:
                (path,) = download(manifest, "bestvideo+bestaudio", folder)
                found = streams(path)
                self.assertEqual(int(found["video"]["nb_read_frames"]), FRAMES)
                self.assertAlmostEqual(float(found["audio"]["duration"]), SECONDS, delta=2 * AAC_BLOCK_S)

    def test_every_picture_rendition_arrives_whole(self):
        for manifest in MANIFESTS:
            with self.subTest(manifest), tempfile.TemporaryDirectory() as folder:
                paths = download(manifest, "all[vcodec!=none]", folder)
                self.assertGreaterEqual(len(paths), 2)
                for path in paths:
                    self.assertEqual(int(streams(path)["video"]["nb_read_frames"]), FRAMES, path)


class Manifests(unittest.TestCase):
    """Parsers that know each element and attribute by its type."""

    def test_mpegdash_reads_the_mpd(self):
        (period,) = MPEGDASHParser.parse(f"{MEDIA}/manifest.mpd").periods
        kinds = {part.content_type for part in period.adaptation_sets}
        self.assertEqual(kinds, {"video", "audio"})
        for part in period.adaptation_sets:
            self.assertTrue(part.representations)
            for template in part.segment_templates or [r.segment_templates[0] for r in part.representations]:
                (timeline,) = template.segment_timelines
                ticks = sum(entry.d * (1 + (entry.r or 0)) for entry in timeline.Ss)
                self.assertAlmostEqual(ticks / template.timescale, SECONDS, delta=AAC_BLOCK_S)

    def test_m3u8_reads_every_playlist(self):
        master = m3u8.load(f"{MEDIA}/master.m3u8")
        self.assertTrue(master.is_variant and master.is_independent_segments)
        uris = [entry.absolute_uri for entry in [*master.playlists, *master.media]]
        self.assertGreaterEqual(len(uris), 3)
        for uri in uris:
            playlist = m3u8.load(uri)
            self.assertTrue(playlist.is_endlist)
            self.assertAlmostEqual(sum(part.duration for part in playlist.segments), SECONDS, delta=AAC_BLOCK_S)


if __name__ == "__main__":
    unittest.main()
