// SPDX-License-Identifier: BSD-3-Clause
// Messages of many threads to one: each arrives once, those of one sender in their order, and the reader is woken for them.
#include "netstack/relay/mailbox.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <thread>
#include <vector>

#include "tests/support/catch.h"

using namespace nh;

namespace {

constexpr int patience_ms = 10000;  // only a wake-up that was lost takes so long

struct Letter {
  std::size_t sender;
  std::size_t number;
};

/// poll(2) of the mailbox: whether it woke the reader.
template <class Message>
bool readable(const Mailbox<Message>& mailbox, int timeout_ms) {
  pollfd entry{.fd = mailbox.fd(), .events = POLLIN, .revents = 0};
  return poll(&entry, 1, timeout_ms) == 1;
}

template <class Message>
std::vector<Message> taken(Mailbox<Message>& mailbox) {
  std::vector<Message> messages;
  mailbox.take(messages);
  return messages;
}

}  // namespace

TEST_CASE("a mailbox is readable from the first message until they are taken", "[mailbox]") {
  Mailbox<int> mailbox;
  REQUIRE(mailbox.open());
  CHECK_FALSE(readable(mailbox, 0));
  CHECK(taken(mailbox).empty());
  for (int round = 0; round < 3; ++round) {
    mailbox.post(3 * round);
    mailbox.post(3 * round + 1);
    mailbox.post(3 * round + 2);
    CHECK(readable(mailbox, 0));
    CHECK(taken(mailbox) == std::vector<int>{3 * round, 3 * round + 1, 3 * round + 2});
    CHECK_FALSE(readable(mailbox, 0));
    CHECK(taken(mailbox).empty());
  }
}

TEST_CASE("of many senders' messages none is lost, doubled or overtaken", "[mailbox]") {
  constexpr std::size_t senders = 8, letters = 20000;  // of each
  Mailbox<Letter> mailbox;
  REQUIRE(mailbox.open());
  std::vector<std::thread> threads;
  for (std::size_t sender = 0; sender < senders; ++sender) {
    threads.emplace_back([&mailbox, sender] {
      for (std::size_t number = 0; number < letters; ++number) mailbox.post({.sender = sender, .number = number});
    });
  }
  std::array<std::size_t, senders> next{};
  std::size_t disorder = 0, count = 0;
  std::vector<Letter> batch;
  bool woken = true;
  while (count < senders * letters && (woken = readable(mailbox, patience_ms))) {
    mailbox.take(batch);
    for (const Letter& letter : batch) {
      if (letter.number != next[letter.sender]++) ++disorder;
    }
    count += batch.size();
    batch.clear();
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(woken);
  CHECK(disorder == 0);
  CHECK(count == senders * letters);
  CHECK(std::all_of(next.begin(), next.end(), [](std::size_t number) { return number == letters; }));
  CHECK_FALSE(readable(mailbox, 0));
}

TEST_CASE("what was written before a message is posted can be read once it is taken", "[mailbox]") {
  constexpr int rounds = 5000;
  Mailbox<int*> there, back;
  REQUIRE(there.open());
  REQUIRE(back.open());
  // Neither thread guards `value` by anything but the messages. ThreadSanitizer sees whether that is enough.
  int value = 0;
  std::thread echo([&] {
    for (int round = 0; round < rounds; ++round) {
      if (!readable(there, patience_ms)) return;
      for (int* number : taken(there)) {
        ++*number;
        back.post(number);
      }
    }
  });
  int answers = 0;
  for (int round = 0; round < rounds; ++round) {
    ++value;
    there.post(&value);
    if (!readable(back, patience_ms)) break;
    answers += static_cast<int>(taken(back).size());
  }
  echo.join();
  CHECK(answers == rounds);
  CHECK(value == 2 * rounds);
}
