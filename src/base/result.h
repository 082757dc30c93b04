// SPDX-License-Identifier: BSD-3-Clause
// Result<T>: a value, or an Error that says what could not be done, to whom, and why.
//
// Three kinds of failure have three names here, and only one of them is an Error:
//   our bug            NH_BUG_IF(condition): message and abort
//   hostile input      a counted drop (netstack/frame/drop_reason.h), never an Error
//   the environment    Error, returned by value and given context on the way up
// Nothing of ours throws. Libraries that do (nlohmann::json, CLI11) are caught where they are called.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace nh {

/// The class of an environment failure. The text form (code_name) is the `code` of control replies.
enum class Code : std::uint8_t {
  invalid,      ///< an argument or field breaks its rule; `field` names it
  missing,      ///< a thing that was named does not exist
  in_use,       ///< address, name or device is taken
  privileged,   ///< needs a privilege that we do not have
  denied,       ///< the policy, or the kernel's permission check, says no
  exhausted,    ///< a limit was reached (file descriptors, table sizes)
  unsupported,  ///< kernel, library or mode cannot do it
  gone,         ///< the target, the peer or the device went away
  timeout,      ///< a deadline passed
  interrupted,  ///< we were asked to stop while waiting
  failed        ///< anything else; `sys_errno` tells
};

std::string_view code_name(Code code);

struct Error {
  Code code = Code::failed;
  int sys_errno = 0;       ///< errno, or 0 where none applies
  std::string what;        ///< "doing what to whom", a phrase without a full stop
  std::string field = {};  ///< the option or JSON member at fault, if one is

  /// "what: strerror (ERRNAME)", or `what` alone without an errno.
  std::string message() const;

  /// The same error with "context: " put in front of what.
  Error in(std::string_view context) &&;
};

/// An Error from errno, with the code that fits the errno.
Error sys_error(int err, std::string what);
/// The same from the present errno.
Error sys_error(std::string what);

struct Ok {};

template <class T = Ok>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit by design

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  /// The value; calling it on an error is our bug.
  T& value() & { return *get(); }
  const T& value() const& { return *const_cast<Result*>(this)->get(); }
  T&& value() && { return std::move(*get()); }
  T& operator*() & { return *get(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*get()); }
  T* operator->() { return get(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& { return *get_error(); }
  Error&& error() && { return std::move(*get_error()); }

 private:
  T* get();
  Error* get_error() const;

  mutable std::variant<T, Error> state_;
};

[[noreturn]] void bug(const char* file, int line, const char* condition);

/// Our own bug: message and abort. Never for anything that input or the environment can cause.
#define NH_BUG_IF(condition)                     \
  do {                                           \
    if (condition) [[unlikely]]                  \
      ::nh::bug(__FILE__, __LINE__, #condition); \
  } while (false)

/// Leaves the function with the error of `expression` if it failed.
#define NH_TRY(expression)                                                                          \
  do {                                                                                              \
    if (auto nh_try_result = (expression); !nh_try_result) return std::move(nh_try_result).error(); \
  } while (false)

#define NH_CONCAT_(a, b) a##b
#define NH_CONCAT(a, b) NH_CONCAT_(a, b)
/// `NH_LET(fd, open_it());` declares `auto fd` with the value, or leaves the function with the error.
#define NH_LET(name, expression)                                                     \
  auto NH_CONCAT(name, _result) = (expression);                                      \
  if (!NH_CONCAT(name, _result)) return std::move(NH_CONCAT(name, _result)).error(); \
  auto name = std::move(NH_CONCAT(name, _result)).value()

template <class T>
T* Result<T>::get() {
  T* value = std::get_if<0>(&state_);
  NH_BUG_IF(value == nullptr);
  return value;
}

template <class T>
Error* Result<T>::get_error() const {
  Error* error = std::get_if<1>(&state_);
  NH_BUG_IF(error == nullptr);
  return error;
}

}  // namespace nh
