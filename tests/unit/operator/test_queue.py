"""The queue: each key once, the urgent first, the late when their time comes, never the same key twice at a time."""

import threading

from dpp_operator.queue import Key, Priority, Queue


def make(now: float = 0.0) -> tuple[Queue, list[float]]:
    clock = [now]
    return Queue(lambda: clock[0]), clock


def key(name: str) -> Key:
    return ("acme", name)


def take_all(queue: Queue) -> list[str]:
    names = []
    while (taken := queue.take(0)) is not None:
        names.append(taken[1])
        queue.done(taken)
    return names


def test_a_key_put_twice_is_taken_once() -> None:
    queue, _ = make()
    queue.put(key("a"))
    queue.put(key("a"))

    assert take_all(queue) == ["a"]


def test_the_urgent_go_first_and_a_key_may_become_urgent() -> None:
    queue, _ = make()
    queue.put(key("again"), Priority.AGAIN)
    queue.put(key("due"), Priority.DUE)
    queue.put(key("late"), Priority.AGAIN)
    queue.put(key("late"), Priority.CHANGED)

    assert take_all(queue) == ["late", "due", "again"]


def test_a_key_that_is_worked_on_comes_again_only_when_it_is_done() -> None:
    queue, _ = make()
    queue.put(key("a"))
    taken = queue.take(0)
    queue.put(key("a"))

    assert queue.take(0) is None
    assert taken is not None
    queue.done(taken)
    assert queue.take(0) == key("a")


def test_a_late_key_comes_at_its_time_and_the_last_word_counts() -> None:
    queue, clock = make()
    queue.put_later(key("a"), 10)
    queue.put_later(key("a"), 20)

    clock[0] = 15
    assert queue.take(0) is None
    clock[0] = 20
    assert queue.take(0) == key("a")


def test_a_forgotten_key_does_not_come() -> None:
    queue, clock = make()
    queue.put_later(key("a"), 10)
    queue.forget(key("a"))

    clock[0] = 100
    assert queue.take(0) is None


def test_closing_ends_every_wait() -> None:
    import time

    queue = Queue(time.monotonic)
    answers: list[Key | None] = []
    threads = [threading.Thread(target=lambda: answers.append(queue.take())) for _ in range(4)]
    for thread in threads:
        thread.start()

    queue.close()
    for thread in threads:
        thread.join(5)

    assert answers == [None] * 4


def test_many_threads_never_hold_one_key_at_a_time() -> None:
    import time

    queue = Queue(time.monotonic)
    held: set[Key] = set()
    clashes: list[Key] = []
    lock = threading.Lock()

    def work() -> None:
        while (taken := queue.take()) is not None:
            with lock:
                if taken in held:
                    clashes.append(taken)
                held.add(taken)
            with lock:
                held.discard(taken)
            queue.done(taken)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(3000):
        queue.put(key(str(number % 5)))
    queue.close()
    for thread in threads:
        thread.join(10)

    assert clashes == []
