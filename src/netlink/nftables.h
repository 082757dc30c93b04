// SPDX-License-Identifier: BSD-3-Clause
// nf_tables (linux/netfilter/nf_tables.h, nfnetlink) by libnl's generic messages: just the objects and expressions that
// steering needs.
//
// Theory of operation. nf_tables speaks in batches: what is between a BEGIN and an END message is taken wholly or not at all.
// A Batch gathers messages, each with words that say what it is, and commit() sends them in one piece and reads one answer a
// message, so that a refusal names what was refused. The expressions are those that `nft --debug=netlink` shows for the same
// rules; register 1 holds what was loaded last, as wide as it was loaded.
//
// A table with an owner (NFT_TABLE_F_OWNER, Linux 5.12) belongs to the netlink socket that made it: nobody else can change or
// flush it, and it goes when the last descriptor of that socket is closed (nf_tables_api.c, nft_rcv_nl_event): a process that
// was killed leaves no table.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "src/base/address.h"
#include "src/netlink/nl_socket.h"

namespace nh::nft {

/// The expressions of one rule, in the order of the calls.
class Expressions {
 public:
  explicit Expressions(nl_msg* message) : message_(message) {}

  void load_mark();
  void load_connection_mark();
  void load_input_interface();   ///< its index
  void load_output_interface();  ///< its index
  void load_transport();         ///< one byte: IPPROTO_TCP
  void load_tcp_flags();         ///< one byte
  void load_source(Family family);
  /// 1: the packet belongs to a socket with IP_TRANSPARENT.
  void load_socket_transparent();

  /// register = (register & mask) ^ flip
  void bits(std::uint32_t mask, std::uint32_t flip);
  /// Goes on if it equals; the bytes are in the order of the host for marks and indexes.
  void equal(std::uint32_t value);
  void not_equal(std::uint32_t value);
  /// Goes on if the set has it.
  void in_set(const std::string& set);

  void store_mark();
  void store_connection_mark();
  void accept();
  /// To the address that was loaded, in a chain of type nat.
  void translate_source(Family family);

 private:
  void expression(const char* name, const std::function<void()>& fill);
  void compare(std::uint32_t operation, std::uint32_t value);
  void loaded(int length) { width_ = length; }
  nl_msg* message_;
  int width_ = 4;  ///< bytes in register 1
};

class Batch {
 public:
  /// The table that its messages are about.
  Batch(Family family, std::string table) : family_(family), table_(std::move(table)) {}

  /// With an owner; in_use at commit if there is one of that name already.
  void add_table();
  void delete_table();
  enum class Hook : std::uint8_t { prerouting, output, postrouting };
  /// A base chain at mangle's priority; output is of type route: a packet whose mark it changes is routed anew; postrouting is of
  /// type nat, just before the usual priority for that.
  void add_chain(const std::string& name, Hook hook);
  void add_address_set(const std::string& name);
  /// `addresses` of other families are left out.
  void set_addresses(const std::string& set, std::span<const Address> addresses);
  void add_rule(const std::string& chain, const std::string& words, const std::function<void(Expressions&)>& fill);

  /// All or nothing. The error names the first message that was refused; unsupported without nf_tables or a part of it.
  Result<> commit(NlSocket& socket);
  /// The messages without BEGIN and END, as they would be sent, but for sequence numbers: for tests.
  std::vector<std::uint8_t> bytes() const;

 private:
  struct Part {
    NlMsg message;
    std::string words;
  };
  void add(int type, int flags, std::string words, const std::function<void(nl_msg*)>& fill);
  Family family_;
  std::string table_;
  std::vector<Part> parts_;
  bool too_large_ = false;
};

/// The names of the family's tables.
Result<std::vector<std::string>> table_names(NlSocket& socket, Family family);

}  // namespace nh::nft
