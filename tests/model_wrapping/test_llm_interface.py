"""Language models behind an interface: over real HTTP against a server in this file, on this machine, and recorded."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from interpreto.errors import InputError, MissingExtraError, ModelCallError, ModelError, StoreError
from interpreto.model_wrapping import llm_interface
from interpreto.model_wrapping.llm_interface import (
    Answer,
    Failure,
    HuggingFaceLLM,
    LLMInterface,
    OpenAILLM,
    RecordedLLM,
    as_chat,
)
from tests.tiny import byte_bpe, classifier, language_model, wordpiece

KEY = "sk-secret-0123456789-not-to-be-seen"


def completion(text, finish_reason="stop"):
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "tiny",
        "choices": [
            {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text}},
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


class Server:
    """An OpenAI-compatible server. `script(content, nth call with it)` gives `(status, body, headers)`."""

    def __init__(self):
        self.script = lambda content, nth: (200, completion(f"about {content}"), {})
        self.requests = []
        self.keys = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                content = body["messages"][-1]["content"]
                with outer.lock:
                    outer.at_once += 1
                    outer.most_at_once = max(outer.most_at_once, outer.at_once)
                    nth = sum(request["messages"][-1]["content"] == content for request in outer.requests)
                    outer.requests.append(body)
                    outer.keys.append(self.headers["Authorization"])
                try:
                    answer = outer.script(content, nth)
                    if answer is None:  # hang up without a word
                        self.close_connection = True
                        return
                    status, reply, headers = answer
                    raw = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
                    length = headers.pop("Length", len(raw))
                    self.send_response(status)
                    for name, value in {"Content-Type": "application/json", **headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(length))
                    self.end_headers()
                    self.wfile.write(raw)
                    self.close_connection = length != len(raw)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True
                finally:
                    with outer.lock:
                        outer.at_once -= 1

            def log_message(self, *args):
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                pass  # a client that hung up

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def fails(self, *replies):
        """Answers these first, to each prompt, and well after them."""

        def script(content, nth):
            return replies[nth] if nth < len(replies) else (200, completion(f"about {content}"), {})

        self.script = script


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    found = Server()
    yield found
    found.http.shutdown()
    found.http.server_close()


def llm(server, **options):
    return OpenAILLM(KEY, "tiny", base_url=server.url, **{"first_wait": 0.01, "timeout": 5.0, **options})


def error(message, **more):
    return {"error": {"message": message, "type": "x", "code": None, **more}}


def texts(outcomes):
    return [outcome.text if isinstance(outcome, Answer) else None for outcome in outcomes]


def test_answers_come_in_the_order_of_the_prompts(server):
    server.script = lambda content, nth: (
        time.sleep(0.1 * (content == "a")),
        (200, completion(f"about {content}"), {}),
    )[1]
    model = llm(server)
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "b"}]
    assert texts(model.generate(["a", chat, "a", "c"])) == ["about a", "about b", "about a", "about c"]
    assert len(server.requests) == 3  # equal prompts are asked once
    assert {request["model"] for request in server.requests} == {"tiny"}
    assert {request["temperature"] for request in server.requests} == {0.0}
    assert chat in [request["messages"] for request in server.requests]
    assert set(server.keys) == {f"Bearer {KEY}"}
    usage = model.usage
    assert (usage.calls, usage.answered, usage.failed, usage.prompt_tokens, usage.answer_tokens) == (3, 3, 0, 21, 9)


def test_nothing_to_ask(server):
    assert llm(server).generate([]) == []
    assert not server.requests


def test_further_fields_go_into_the_body(server):
    llm(server, temperature=None, max_tokens=9, options={"seed": 4}).generate(["a"])
    assert "temperature" not in server.requests[0]
    assert (server.requests[0]["max_tokens"], server.requests[0]["seed"]) == (9, 4)


@pytest.mark.parametrize(
    "reply",
    [
        (429, error("slow down"), {}),
        (500, error("oops"), {}),
        (503, b"<html>busy</html>", {"Content-Type": "text/html"}),
        (200, json.dumps(completion("about a")).encode()[:60], {}),
        (200, json.dumps(completion("about a")).encode()[:60], {"Length": 500}),
        (200, b"<html>a login page</html>", {"Content-Type": "text/html"}),
        (200, {"choices": []}, {}),
        None,
    ],
    ids=["429", "500", "503", "half a body", "hung up in the body", "html", "no choices", "hung up"],
)
def test_what_passes_is_tried_again(server, reply):
    server.fails(reply, reply)
    model = llm(server)
    assert texts(model.generate(["a"])) == ["about a"]
    assert len(server.requests) == 3
    assert (model.usage.calls, model.usage.answered, model.usage.failed) == (3, 1, 0)


def test_retries_end(server):
    server.fails(*[(500, error("oops"), {})] * 9)
    model = llm(server, max_retries=2)
    (outcome,) = model.generate(["a"])
    assert outcome == Failure("the server answers 500: oops, after 3 tries", 3)
    assert (model.usage.calls, model.usage.failed) == (3, 1)


def test_retry_after_is_waited_for(server):
    server.fails((429, error("slow down"), {"Retry-After": "0.6"}))
    start = time.monotonic()
    assert texts(llm(server).generate(["a"])) == ["about a"]
    assert 0.6 <= time.monotonic() - start < 5


def test_a_wait_of_hours_is_a_failure(server):
    server.fails((429, error("slow down"), {"Retry-After": "7200"}))
    (outcome,) = llm(server).generate(["a"])
    assert "asks to wait 7200 seconds" in outcome.reason


def test_retry_after_as_a_date():
    from interpreto.model_wrapping.llm_interface.openai_llm import _retry_after

    assert _retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert _retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert _retry_after({"retry-after": "soon"}) is None
    assert _retry_after({}) is None


def test_time_outs_are_tried_again(server):
    def script(content, nth):
        if nth == 0:
            time.sleep(1.0)
        return 200, completion("late"), {}

    server.script = script
    model = llm(server, timeout=0.3)
    assert texts(model.generate(["a"])) == ["late"]
    assert model.usage.calls == 2


def test_a_server_that_never_answers(server):
    server.script = lambda content, nth: time.sleep(0.5)
    (outcome,) = llm(server, timeout=0.1, max_retries=1).generate(["a"])
    assert outcome == Failure("no answer within 0.1 seconds, after 2 tries", 2)


def test_no_server():
    (outcome,) = OpenAILLM("none", base_url="http://127.0.0.1:9/v1", max_retries=1, first_wait=0.01).generate(["a"])
    assert isinstance(outcome, Failure)
    assert outcome.reason.startswith("no connection")


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (401, "invalid_api_key", "check api_key"),
        (403, None, "check api_key"),
        (404, "model_not_found", "check model and base_url"),
        (429, "insufficient_quota", "nothing left to pay with"),
    ],
)
def test_a_refusal_ends_the_run_at_once(server, status, code, said):
    server.script = lambda content, nth: (status, error(f"Incorrect API key provided: {KEY}", code=code), {})
    with pytest.raises(ModelCallError, match=said) as caught:
        llm(server, max_concurrency=2).generate([f"prompt {k}" for k in range(50)])
    assert len(server.requests) < 10
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_refused_prompt_fails_alone(server):
    def script(content, nth):
        return (400, error("too long"), {}) if content == "b" else (200, completion(content), {})

    server.script = script
    outcomes = llm(server).generate(["a", "b", "c"])
    assert texts(outcomes) == ["a", None, "c"]
    assert "400" in outcomes[1].reason
    assert "too long" in outcomes[1].reason
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (completion("half an ans", "length"), "cut off"),
        (completion("", "content_filter"), "refuses"),
        (completion("  "), "empty"),
        (completion(None), "empty"),
    ],
)
def test_half_an_answer_is_a_failure(server, tmp_path, reply, said):
    server.script = lambda content, nth: (200, reply, {})
    model = llm(server, cache=tmp_path / "answers.jsonl")
    (outcome,) = model.generate(["a"])
    assert said in outcome.reason
    assert len(server.requests) == 1  # at temperature 0 another try gives the same
    assert model.unanswered(["a"]) == 1  # and failures are not kept


def test_not_more_at_once_than_allowed(server):
    server.script = lambda content, nth: (time.sleep(0.05), (200, completion(content), {}))[1]
    llm(server, max_concurrency=3).generate([str(k) for k in range(12)])
    assert server.most_at_once == 3


def test_a_second_run_asks_nothing(server, tmp_path):
    path = tmp_path / "folder" / "answers.jsonl"
    first = llm(server, cache=path)
    answers = texts(first.generate(["a", "b"]))
    again = llm(server, cache=path)
    assert again.unanswered(["a", "b", "c", "c"]) == 1
    assert texts(again.generate(["b", "a", "c"])) == [answers[1], answers[0], "about c"]
    assert len(server.requests) == 3
    assert (again.usage.cached, again.usage.calls) == (2, 1)


def test_known_answers_need_no_key(server, tmp_path, monkeypatch):
    path = tmp_path / "answers.jsonl"
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    OpenAILLM(KEY, cache=path).generate(["a"])
    assert texts(OpenAILLM(None, cache=path).generate(["a"])) == ["about a"]


@pytest.mark.parametrize(
    "other", [{"temperature": 0.5}, {"max_tokens": 5}, {"options": {"seed": 1}}, {"model": "other"}, {"base_url": None}]
)
def test_other_settings_are_other_answers(server, tmp_path, other):
    path = tmp_path / "answers.jsonl"
    llm(server, cache=path).generate(["a"])
    options = {"model": "tiny", "base_url": server.url, "cache": path, **other}
    assert OpenAILLM(KEY, **options).unanswered(["a"]) == 1
    assert OpenAILLM("another key", "tiny", base_url=server.url, cache=path).unanswered(["a"]) == 0


def test_a_run_that_is_stopped_goes_on_where_it_was(server, tmp_path):
    path = tmp_path / "answers.jsonl"
    prompts = [str(k) for k in range(6)]
    server.script = lambda content, nth: (
        (200, completion(content), {}) if int(content) < 4 else (401, error("wrong key"), {})
    )
    with pytest.raises(ModelCallError):
        llm(server, cache=path, max_concurrency=1).generate(prompts)
    server.fails()
    server.requests.clear()
    assert len(texts(llm(server, cache=path).generate(prompts))) == 6
    assert sorted(request["messages"][0]["content"] for request in server.requests) == ["4", "5"]


def test_half_a_line_of_the_cache_is_asked_again(server, tmp_path):
    path = tmp_path / "answers.jsonl"
    llm(server, cache=path, max_concurrency=1).generate(["a", "b"])
    whole = path.read_bytes()
    for cut in (len(whole) - 1, len(whole) - 20, whole.index(b"\n") + 1, whole.index(b"\n") + 9, 5):
        path.write_bytes(whole[:cut])
        assert texts(llm(server, cache=path).generate(["a", "b"])) == ["about a", "about b"]
        assert llm(server, cache=path).unanswered(["a", "b"]) == 0


def test_a_file_of_something_else_is_refused(server, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n")
    with pytest.raises(InputError, match="expected a file of answers"):
        llm(server, cache=path).generate(["a"])
    assert path.read_text() == "my notes\n"
    with pytest.raises(InputError, match="cannot be read"):
        llm(server, cache=tmp_path).generate(["a"])


def test_a_cache_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((StoreError, InputError)):
        llm(server, cache=tmp_path / "file" / "answers.jsonl").generate(["a"])


def test_the_key_is_nowhere(server, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "answers.jsonl"
    model = llm(server, cache=path)
    server.fails((500, error(f"bad {KEY}"), {}))
    server_said = model.generate(["a"])
    server.script = lambda content, nth: (
        (400, error(f"bad {KEY}"), {}) if content == "b" else (200, completion(KEY), {})
    )
    outcomes = model.generate(["b", "c"])
    shown = [repr(model), str(model.identity), str(vars(model)), repr(server_said), repr(outcomes), path.read_text()]
    assert not any(KEY in text for text in [*shown, caplog.text])
    assert outcomes[1].text == "***"
    for write in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="key"):
            write(model)


@pytest.mark.parametrize("key", [None, "", " \n"])
def test_no_key(key, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    model = OpenAILLM(key)
    with pytest.raises(ModelCallError, match="OPENAI_API_KEY"):
        model.generate(["a"])


def test_the_key_of_the_environment_goes_to_no_other_server(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    OpenAILLM(base_url=server.url).generate(["a"])
    assert server.keys == ["Bearer none"]


def test_a_line_break_after_the_key_is_taken_off(server):
    OpenAILLM(KEY + "\n", base_url=server.url).generate(["a"])
    assert server.keys == [f"Bearer {KEY}"]


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"interpreto\[llm\]"):
        OpenAILLM(KEY).generate(["a"])


@pytest.mark.parametrize(
    "options",
    [
        {"max_retries": -1},
        {"max_concurrency": 0},
        {"timeout": 0.0},
        {"first_wait": float("nan")},
        {"max_tokens": 0},
        {"options": {"extra_headers": {}}},
        {"options": {"messages": []}},
        {"base_url": "http://me:secret@host/v1"},
        {"api_key": "käse"},
    ],
)
def test_bad_options(options):
    with pytest.raises(InputError) as caught:
        OpenAILLM(**{"api_key": KEY, **options})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("prompts", ["text", [7], [[]], [[{"role": "user"}]], [[{"role": "x", "content": "a"}]], None])
def test_no_prompts(prompts):
    with pytest.raises(InputError, match="prompts"):
        RecordedLLM({}).generate(prompts)


def test_broken_unicode_is_mended(server):
    assert as_chat("a\ud800b", "prompt")[0]["content"] == "a?b"
    assert texts(llm(server).generate(["a\ud800b"])) == ["about a?b"]


def test_recorded_answers(server, tmp_path):
    assert texts(RecordedLLM({"a": "1"}).generate(["a", "b"])) == ["1", None]
    model = RecordedLLM(lambda chat: str(len(chat)))
    assert texts(model.generate(["a", [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}]])) == list(
        "12"
    )
    assert [chat[-1]["content"] for chat in model.asked] == ["a", "a"]
    model.answers = ["a newspaper"]  # past the type checker of the tests
    with pytest.raises(InputError, match=r"^answers: expected a mapping from prompts to answers, .* got list"):
        model.__post_init__()


def test_what_a_model_answered_is_replayed(server, tmp_path):
    path = tmp_path / "answers.jsonl"
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "b"}]
    llm(server, cache=path).generate(["a", chat])
    replayed = RecordedLLM.load(path)
    assert replayed.name == "tiny"
    assert texts(replayed.generate([chat, "a", "c"])) == ["about b", "about a", None]
    with pytest.raises(InputError, match="there is none"):
        RecordedLLM.load(tmp_path / "none.jsonl")


def test_a_model_of_ones_own(tmp_path):
    class Parrot(LLMInterface):
        @property
        def identity(self):
            return {"model": "parrot"}

        def ask(self, chats):
            for number, chat in reversed(list(enumerate(chats))):
                yield number, Answer(chat[-1]["content"])

    assert texts(Parrot(cache=tmp_path / "a.jsonl").generate(["a", "b"])) == ["a", "b"]
    assert Parrot(cache=tmp_path / "a.jsonl").unanswered(["a", "b"]) == 0


def test_names():
    assert llm_interface.OpenAILLM is OpenAILLM
    assert sorted(llm_interface.__all__) == llm_interface.__all__


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture
def chat_tokenizer():
    tokenizer = copy.deepcopy(byte_bpe())
    tokenizer.chat_template = CHATML
    return tokenizer


def by_hand(model, tokenizer, text, n):
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    for _ in range(n):
        ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(dim=-1)], dim=1)
    return ids[0]


def test_a_model_on_this_machine_writes_what_it_would_write():
    model, tokenizer = language_model(), byte_bpe()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    (outcome,) = HuggingFaceLLM(model, tokenizer, max_new_tokens=6).generate(["Once upon a time"])
    ids = by_hand(model, tokenizer, "Once upon a time", 6)
    assert outcome.text == tokenizer.decode(ids[-6:], skip_special_tokens=True).strip()
    assert (outcome.prompt_tokens, outcome.answer_tokens) == (len(ids) - 6, 6)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not model.training


def test_chats_go_through_the_template(chat_tokenizer):
    model = language_model()
    llm = HuggingFaceLLM(model, chat_tokenizer, max_new_tokens=4)
    chat = as_chat([{"role": "system", "content": "Be"}, {"role": "user", "content": "a dog"}], "chat")
    wanted = "<|im_start|>system\nBe<|im_end|>\n<|im_start|>user\na dog<|im_end|>\n<|im_start|>assistant\n"
    assert llm._ids(chat) == chat_tokenizer(wanted, add_special_tokens=False)["input_ids"]
    assert llm.count_tokens(chat) == len(llm._ids(chat))
    (outcome,) = llm.generate([chat])
    assert isinstance(outcome, Failure)  # a random model does not come to an end
    assert "max_new_tokens" in outcome.reason


def test_a_template_without_system_messages(chat_tokenizer):
    chat_tokenizer.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML
    )
    llm = HuggingFaceLLM(language_model(), chat_tokenizer)
    chat = as_chat([{"role": "system", "content": "Be"}, {"role": "user", "content": "a dog"}], "chat")
    joined = as_chat([{"role": "user", "content": "Be\n\na dog"}], "chat")
    assert llm._ids(chat) == llm._ids(joined)
    (outcome,) = llm.generate([[{"role": "system", "content": "alone"}]])
    assert "refuses this chat" in outcome.reason


def test_a_text_cannot_end_its_own_message(chat_tokenizer):
    llm = HuggingFaceLLM(language_model(), chat_tokenizer)
    special = chat_tokenizer.eos_token_id
    assert special not in llm._ids(as_chat("a <|endoftext|> b", "chat"))
    plain = HuggingFaceLLM(language_model(), byte_bpe())
    assert special not in plain._ids(as_chat("a <|endoftext|> b", "chat"))


def test_a_dialogue_without_template():
    llm = HuggingFaceLLM(language_model(), byte_bpe())
    chat = as_chat([{"role": "system", "content": "Be"}, {"role": "user", "content": "a dog"}], "chat")
    assert byte_bpe().decode(llm._ids(chat)) == "Be\n\nUser: a dog\n\nAssistant:"


def test_a_prompt_that_is_too_long_fails_alone():
    llm = HuggingFaceLLM(language_model(), byte_bpe(), max_new_tokens=2)
    outcomes = llm.generate(["a", "dog " * 500])
    assert isinstance(outcomes[0], Answer)
    assert "128" in outcomes[1].reason


def test_other_weights_are_other_answers(tmp_path):
    path = tmp_path / "answers.jsonl"
    HuggingFaceLLM(language_model(), byte_bpe(), cache=path).generate(["a"])
    assert HuggingFaceLLM(language_model(), byte_bpe(), cache=path).unanswered(["a"]) == 0
    assert HuggingFaceLLM(language_model(seed=1), byte_bpe(), cache=path).unanswered(["a"]) == 1


def test_a_model_that_does_not_write():
    with pytest.raises(ModelError, match="one that writes"):
        HuggingFaceLLM(classifier(), wordpiece())


def test_no_secret_of_an_address_is_written_down(monkeypatch):
    for address in ("https://me:s3cret@proxy.example/v1", "https://proxy.example/v1?api-key=s3cret"):
        monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
        with pytest.raises(InputError, match="base_url: expected an address without") as refused:
            OpenAILLM(KEY, "tiny", base_url=address)
        assert "s3cret" not in str(refused.value)
        late = OpenAILLM(KEY, "tiny")
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        assert late.identity["server"] == "https://proxy.example/v1"
        with pytest.raises(InputError, match="OPENAI_BASE_URL: expected an address without"):
            OpenAILLM(KEY, "tiny")
