"""The app, by its client and in a headless browser."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from chromium import browser_page
from trained_model import photo, save_run, save_tiny_clip

from maskrcnn_benchmark.api import SceneGraphModel
from maskrcnn_benchmark.app import build_app, names


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(address of the app, folder of images)."""
    pytest.importorskip("gradio", reason="needs gradio (the extra app)")
    pytest.importorskip("clip.model")
    folder = tmp_path_factory.mktemp("app")
    save_run(folder / "run", "RelCLIPPredictor", clip=save_tiny_clip(folder / "clip.pt"))
    for number in range(3):
        photo((80 + 10 * number, 60), seed=number).save(folder / f"image{number}.png")
    (folder / "broken.png").write_bytes(b"no image")
    app = build_app(SceneGraphModel.from_pretrained(folder / "run", device="cpu"))
    _, address, _ = app.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    yield address, folder
    app.close()


@pytest.fixture
def ask(served):
    client_of = pytest.importorskip("gradio_client")
    client = client_of.Client(served[0], verbose=False)

    def call(name: str, predicates: str = "", objects: str = "") -> str:
        return client.predict(client_of.handle_file(str(served[1] / name)), predicates, objects, api_name="/predict")

    return call


def test_an_image_becomes_a_page(ask):
    answer = ask("image0.png")
    assert "<iframe" in answer and "image0.png" in answer and "riding" in answer


def test_the_vocabulary_is_that_of_the_question(ask):
    answer = ask("image0.png", "polishing", "lorry, dog")
    assert "polishing" in answer and "lorry" in answer and "riding" not in answer
    assert "riding" in ask("image0.png")  # back to the trained one


def test_several_at_once_do_not_mix(ask):
    questions = [(f"image{i % 3}.png", f"doing{i}") for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda question: ask(*question), questions))
    for number, ((name, predicate), answer) in enumerate(zip(questions, answers, strict=True)):
        assert name in answer and predicate in answer and f"&quot;width&quot;: {80 + 10 * (number % 3)}" in answer
        assert not any(f"doing{other}" in answer for other in range(6) if other != number)


def test_what_goes_wrong_is_said_in_a_sentence(ask):
    assert "broken.png cannot be read" in ask("broken.png")
    assert "twice" in ask("image0.png", "on, On")


def test_in_a_browser(served):
    address, folder = served
    with browser_page(viewport={"width": 1300, "height": 1000}) as page:
        page.goto(address)
        page.fill("#predicates textarea", "polishing")
        page.set_input_files("#image input[type=file]", str(folder / "image1.png"))
        page.wait_for_selector("#graph iframe")
        shown = page.frame_locator("#graph iframe")
        shown.locator(".sg-list li").first.hover()
        assert shown.locator(".sg-node.sg-on").count() == 2
        assert shown.locator(".sg-list i").first.inner_text() == "polishing"
        page.fill("#predicates textarea", "")
        page.click("#go")
        page.wait_for_function("!document.querySelector('#graph iframe').srcdoc.includes('polishing')")


def test_names_are_apart_by_commas_and_lines():
    assert names("riding, in  front of,\n,on") == ["riding", "in front of", "on"] and names(" \n") is None
