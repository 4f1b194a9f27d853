"""Images: where their bytes come from, what is refused, and the pixels that a processor gets."""

import json
import os
import time
from base64 import b64encode
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile

import datasets
import numpy as np
import pytest
from PIL import Image

from tests.workers.data.small_sets import png, read_search, save_rows, search_samples
from tests.workers.tiny import picture
from workers.data.image_files import ImageFiles, Unreadable
from workers.data.images import decoded

RAMP = np.linspace(0, 65535, 64 * 64).reshape(64, 64)
GRAY = np.rint(np.linspace(0, 255, 64 * 64)).reshape(64, 64)
INK = np.zeros((32, 32, 4), np.uint8)
INK[8:24, 8:24, 3] = 255
Q = {"question": "?", "answer": "x"}


def stored(image, form="PNG", **options):
    out = BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


class TestPixels:
    @pytest.mark.parametrize(
        ("pixels", "form"),
        [
            (RAMP.astype(np.uint16), "PNG"),
            (RAMP.astype(np.uint16), "TIFF"),
            (RAMP.astype(np.int32), "TIFF"),
            ((RAMP / 65535).astype(np.float32), "TIFF"),
            ((RAMP / 257).astype(np.float32), "TIFF"),
            (RAMP.astype(np.float32), "TIFF"),
            ((RAMP / 257).astype(np.int32), "TIFF"),
            (GRAY.astype(np.uint8), "PNG"),
        ],
    )
    def test_gray_of_any_depth_is_the_same_ramp(self, pixels, form):
        got = np.asarray(decoded(stored(Image.fromarray(pixels), form)))
        assert got.shape == (64, 64, 3)
        assert np.abs(got.astype(float) - GRAY[..., None]).max() <= 1

    @pytest.mark.parametrize("pixels", [RAMP - 1000, RAMP * 2, RAMP * np.nan])
    def test_gray_without_a_known_white_is_unreadable(self, pixels):
        with pytest.raises(Unreadable, match="don't determine the value of white"):
            decoded(stored(Image.fromarray(pixels.astype(np.float32)), "TIFF"))

    @pytest.mark.parametrize(
        "image",
        [
            Image.fromarray(INK),
            Image.fromarray(INK).convert("LA"),
            Image.fromarray(INK).quantize(4),
            Image.fromarray(255 - INK).convert("RGBA"),
            Image.new("1", (8, 8), 1),
            Image.linear_gradient("L"),
            Image.linear_gradient("L").convert("P"),
            picture(1),
        ],
    )
    @pytest.mark.parametrize("kind", ["CLIP", "Qwen2VL", "Idefics3"])
    def test_a_processor_reads_what_it_reads_of_the_file(self, image, kind):
        import transformers

        data = stored(image)
        reader = getattr(transformers, f"{kind}ImageProcessorPil")()
        own, ours = (
            np.asarray(reader([each], return_tensors="np")["pixel_values"])
            for each in (Image.open(BytesIO(data)), decoded(data))
        )
        np.testing.assert_array_equal(own, ours)

    def test_ink_on_nothing_stays_ink_on_white(self):
        for mode in ("RGBA", "LA"):
            got = np.asarray(decoded(stored(Image.fromarray(INK).convert(mode))))
            assert (got[8:24, 8:24] == 0).all() and (got[:8] == 255).all()

    @pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
    def test_other_colors_are_pillow_s(self, mode):
        data = stored(picture(1).convert(mode), "JPEG")
        assert decoded(data).tobytes() == Image.open(BytesIO(data)).convert("RGB").tobytes()

    @pytest.mark.parametrize("form", ["GIF", "TIFF", "WEBP", "PNG"])
    def test_of_several_frames_the_first_is_read(self, form):
        """As `processor(Image.open(file))` does."""
        frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
        got = decoded(stored(frames[0], form, save_all=True, append_images=frames[1:], lossless=True))
        assert got.tobytes() == frames[0].tobytes()

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_pictures_are_upright(self, orientation):
        """Row and column of the first pixel by the EXIF standard (JEITA CP-3451, tag 0x0112)."""
        first, alongside = {1: "TL", 2: "TR", 3: "BR", 4: "BL", 5: "LT", 6: "RT", 7: "RB", 8: "LB"}[orientation]
        exif = Image.Exif()
        exif[0x0112] = orientation
        stripe = np.zeros((16, 32, 3), np.uint8)
        stripe[:8, :16] = 255  # the corner at the first row and column of the file
        got = np.asarray(decoded(stored(Image.fromarray(stripe), "PNG", exif=exif)))
        assert got.shape == ((16, 32, 3) if orientation < 5 else (32, 16, 3))
        sides = {"T": got[: len(got) // 2], "B": got[len(got) // 2 :]}
        across = sides["T" if "T" in first + alongside else "B"]
        corner = across[:, : across.shape[1] // 2] if "L" in first + alongside else across[:, across.shape[1] // 2 :]
        assert corner.min() == 255 and got.sum() == corner.sum()

    @pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
    def test_a_file_that_ends_early_is_unreadable(self, form):
        data = stored(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)), form)
        with pytest.raises(Unreadable):
            decoded(data[: len(data) * 2 // 3])

    @pytest.mark.slow
    def test_more_than_a_hundred_megapixels_are_refused_at_once(self):
        """Before a pixel is unpacked: the file is small."""
        began = time.perf_counter()
        for size in ((10_001, 10_000), (30_000, 30_000)):
            with pytest.raises(Unreadable, match=r"100 megapixels|exceeds limit"):
                decoded(stored(Image.new("1", size)))
        assert time.perf_counter() - began < 30


class TestSources:
    def same(self, folder, cell, seed=1, **told):
        (sample,) = search_samples(folder, [{"image": cell, **Q}], **told)
        assert sample.image.tobytes() == picture(seed).tobytes()

    @pytest.mark.parametrize("head", ["", "data:image/png;base64,", "DATA:IMAGE/PNG;BASE64,"])
    @pytest.mark.parametrize("wrap", [0, 76])
    def test_base64(self, tmp_path, head, wrap):
        text = b64encode(png(1)).decode()
        self.same(tmp_path, head + ("\n".join(text[i : i + wrap] for i in range(0, len(text), wrap)) if wrap else text))

    def test_records(self, tmp_path):
        for cell in (
            {"path": "im/1.png"},
            {"bytes": None, "path": "im/1.png"},
            {"url": "im/1.png"},
            ["im/1.png", None],
        ):
            self.same(tmp_path, cell)

    @pytest.mark.parametrize("member", ["photos/1.png", "1.png"])
    def test_a_zip_beside_the_table(self, tmp_path, member):
        with ZipFile(tmp_path / "photos.zip", "w", ZIP_DEFLATED) as archive:
            archive.writestr(member, png(1))
        self.same(tmp_path, "photos/1.png")

    def test_one_path_in_two_zips(self, tmp_path):
        for name in ("a", "b"):
            with ZipFile(tmp_path / f"{name}.zip", "w") as archive:
                archive.writestr("1.png", png(1))
        with pytest.raises(ValueError, match="several zip files"):
            self.same(tmp_path, "1.png")

    def test_a_zip_that_unpacks_to_gigabytes(self, tmp_path, monkeypatch):
        monkeypatch.setattr("workers.data.image_files.MAX_BYTES", 1000)
        with ZipFile(tmp_path / "a.zip", "w", ZIP_DEFLATED) as archive:
            archive.writestr("1.png", b"0" * 100_000)
        with pytest.raises(ValueError, match=r"1\.png has more than"):
            self.same(tmp_path, "1.png")


class TestOutside:
    @pytest.fixture
    def outside(self, tmp_path):
        (tmp_path / "secret").mkdir()
        (tmp_path / "secret" / "1.png").write_bytes(png(1))
        return tmp_path / "secret" / "1.png"

    @pytest.mark.parametrize("form", ["{0}", "../secret/1.png", "im/../../secret/1.png", "file://{0}", "link.png"])
    def test_paths_stay_in_the_folder(self, tmp_path, outside, form):
        place = save_rows(tmp_path / "set", [{"image": form.format(outside), **Q}])
        (place / "link.png").symlink_to(outside)
        with pytest.raises(ValueError, match=r"must stay in the data set's folder.* --allow-outside.* row 0"):
            read_search(place)
        (sample,) = read_search(place, allow_outside=True).samples
        assert sample.image.tobytes() == picture(1).tobytes()

    def test_addresses_of_other_machines(self, tmp_path):
        for address in ("http://localhost:1/1.png", "hf://datasets/a/b/1.png", "zip://1.png::/etc/x.zip"):
            with pytest.raises(ValueError, match="--allow-outside"):
                search_samples(tmp_path, [{"image": address, **Q}])

    def test_an_absolute_path_within_the_folder(self, tmp_path):
        (sample,) = search_samples(tmp_path, [{"image": str(tmp_path / "im/1.png"), **Q}])
        assert sample.image.tobytes() == picture(1).tobytes()

    def test_a_hub_data_set_opens_nothing_of_this_machine(self, tmp_path):
        with pytest.raises(ValueError, match="--allow-outside"):
            ImageFiles(None, [tmp_path / "cache"], "hf://datasets/a/b").read(str(tmp_path / "1.png"))


class TestHostile:
    @pytest.mark.parametrize(
        "cell", ["/dev/zero", "/dev/random", "pipe", "im", "x" * 5000, "a\0b", "/".join("x" * 3000)]
    )
    def test_what_is_no_file_is_said_at_once(self, tmp_path, cell):
        place = save_rows(tmp_path, [{"image": cell, **Q}])
        os.mkfifo(place / "pipe")
        began = time.perf_counter()
        with pytest.raises(ValueError) as caught:
            read_search(place, allow_outside=True)
        assert time.perf_counter() - began < 2
        assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)

    def test_a_loop_of_links(self, tmp_path):
        place = save_rows(tmp_path, [{"image": "loop", **Q}])
        (place / "loop").symlink_to(place / "loop")
        with pytest.raises(ValueError, match=r"can't be opened|can't be read|may be unreadable"):
            read_search(place)

    @pytest.mark.parametrize(
        "cell", [3, 2.5, True, {"x": 1}, [[1, 2]], ["im/1.png", "", "im/2.png"], "[", b"".hex(), []]
    )
    def test_what_is_no_image_is_counted(self, tmp_path, cell):
        rows = [{"image": "im/1.png", **Q}, {"image": cell, **Q}]
        data = read_search(save_rows(tmp_path, rows), max_unreadable=0.5)
        assert (len(data.samples), data.skipped) == (1, 1)


class TestSeveral:
    def test_a_list(self, tmp_path):
        cells = (["im/2.png", "im/1.png"], '["im/2.png", "im/1.png"]', ["im/2.png", {"path": "im/1.png"}, None])
        for sample in search_samples(tmp_path, [{"images": cell, **Q} for cell in cells]):
            assert [image.tobytes() for image in sample.images] == [picture(2).tobytes(), picture(1).tobytes()]

    @pytest.mark.parametrize(
        "names", [("image_1", "image_2", "image_10"), ("image", "image2", "image3"), ("img1", "img2", "img3")]
    )
    def test_columns_by_number(self, tmp_path, names):
        order = [names[2], names[0], names[1]]  # not the order of the file
        rows = [
            {**{name: f"im/{names.index(name)}.png" for name in order}, **Q},
            {**{name: f"im/{names.index(name)}.png" if name == names[0] else None for name in order}, **Q},
        ]
        place = tmp_path / "set"
        save_rows(place, [Q])
        for split in ("train", "validation"):
            (place / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        three, one = read_search(place).samples
        assert [image.tobytes() for image in three.images] == [picture(n).tobytes() for n in range(3)]
        assert [image.tobytes() for image in one.images] == [picture(0).tobytes()]
        assert three.image_id != one.image_id

    def test_typed_columns(self, tmp_path):
        """As MMMU has them."""
        images = datasets.Features({f"image_{n}": datasets.Image() for n in (1, 2)})
        features = datasets.Features({**images, **{name: datasets.Value("string") for name in Q}})
        rows = {
            "image_1": [picture(1), picture(2)],
            "image_2": [picture(3), None],
            "question": ["a", "b"],
            "answer": ["x", "y"],
        }
        table = datasets.Dataset.from_dict(rows, features=features)
        datasets.DatasetDict({"train": table, "validation": table}).save_to_disk(str(tmp_path / "set"))
        data = read_search(tmp_path / "set")
        assert [[i.tobytes() for i in s.images] for s in data.samples] == [
            [picture(1).tobytes(), picture(3).tobytes()],
            [picture(2).tobytes()],
        ]
        assert data.columns["image"] == "image_1, image_2"

    def test_a_second_column_of_images_is_not_left_out_without_a_word(self, tmp_path):
        features = datasets.Features(
            {
                "photo": datasets.Image(),
                "depth": datasets.Image(),
                "question": datasets.Value("string"),
                "answer": datasets.Value("string"),
            }
        )
        rows = {"photo": [picture(1)], "depth": [picture(2)], "question": ["a"], "answer": ["x"]}
        table = datasets.Dataset.from_dict(rows, features=features)
        datasets.DatasetDict({"train": table, "validation": table}).save_to_disk(str(tmp_path / "set"))
        with pytest.raises(ValueError, match=r"one column of images.* got photo, depth .*--image-column"):
            read_search(tmp_path / "set")
        (one,) = read_search(tmp_path / "set", image_column="depth").samples
        (two,) = read_search(tmp_path / "set", image_column="depth,photo").samples
        assert one.images[0].tobytes() == picture(2).tobytes() and len(one.images) == 1
        assert [image.tobytes() for image in two.images] == [picture(2).tobytes(), picture(1).tobytes()]

    def test_a_gap_before_an_image_is_unreadable(self, tmp_path):
        rows = [{"image_1": None, "image_2": "im/2.png", **Q}]
        with pytest.raises(ValueError, match="missing before the last one"):
            search_samples(tmp_path, rows)


class TestImageIds:
    @pytest.mark.parametrize(
        "ids", [[None] * 4, [0, 1, 0, 1], [7, None, 8, None], ["", "a", "a", ""], [1.0, "1", 1, True]]
    )
    def test_every_row_keeps_its_own_picture(self, tmp_path, ids):
        got = search_samples(tmp_path, [{"image_id": each, **Q} for each in ids])
        assert [sample.image.tobytes() for sample in got] == [picture(n).tobytes() for n in range(4)]
        assert len({sample.image_id for sample in got}) == 4

    def test_the_same_file_is_one_image_whatever_its_id(self, tmp_path):
        got = search_samples(tmp_path, [{"image": "im/1.png", "image_id": each, **Q} for each in (1, 2)])
        assert len({sample.image_id for sample in got}) == 1


@pytest.mark.parametrize(("beside", "is_refused"), [("blue", True), (None, False)])
def test_a_path_that_could_be_two_files_is_refused(tmp_path, beside, is_refused):
    """A table in a sub-folder may mean the data set's folder or its own; where both have the file, neither is taken."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "images" / "1.png")
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "rows.jsonl").write_text(json.dumps({"image": "images/1.png", **Q}) + "\n")
        if beside:
            (tmp_path / split / "images").mkdir()
            Image.new("RGB", (8, 8), beside).save(tmp_path / split / "images" / "1.png")
    if is_refused:
        with pytest.raises(ValueError, match="another one beside a table"):
            read_search(tmp_path)
    else:
        assert read_search(tmp_path).samples[0].image.getpixel((0, 0)) == (255, 0, 0)
