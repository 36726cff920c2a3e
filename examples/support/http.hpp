// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace examples {

/// A TCP socket, closed with its object.
class tcp_socket {
 public:
  /// Takes a descriptor over. Throws std::system_error, with errno and what was being done, when it is negative.
  tcp_socket(int descriptor, char const* doing);
  tcp_socket(tcp_socket&& other) noexcept : descriptor_{std::exchange(other.descriptor_, -1)} {}
  tcp_socket& operator=(tcp_socket&&) = delete;
  ~tcp_socket();

  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

 private:
  int descriptor_;
};

/// Fetches `path` from 127.0.0.1; blocks until the whole answer is there. Throws std::runtime_error for an answer other
/// than 200, "GET /x: 404 Not Found", and for one that is cut short; std::system_error when a socket call fails.
std::string http_get(std::uint16_t port, std::string const& path);

/// What a path answers, and after how long.
struct http_page {
  std::string text;
  std::chrono::milliseconds delay;
};

/// Just enough of a web server for an example: HTTP/1.0 on 127.0.0.1, a thread a connection. A path without a page is
/// answered 404. Thread-safe. The destructor waits for the requests that are being served.
class http_server {
 public:
  /// Listens, on a port that was free, when it returns. Throws std::system_error.
  explicit http_server(std::map<std::string, http_page> pages);
  http_server(http_server const&) = delete;
  http_server& operator=(http_server const&) = delete;
  ~http_server();

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

  /// Starts the count below anew, and answers nobody before `requests` of them are there together: proof, without a
  /// clock, that a client asks several things at once. Call it while no request is being served.
  void hold_until_together(int requests);

  /// The most requests that were being served at the same time.
  [[nodiscard]] int most_at_once() const;

 private:
  void accept_all();
  void serve(tcp_socket const& client);
  std::string answer(std::string const& path);

  std::map<std::string, http_page> const pages_;
  tcp_socket const listener_;
  std::uint16_t const port_;
  mutable std::mutex mutex_;  // guards the next four
  std::condition_variable arrived_;
  int at_once_ = 0;
  int most_at_once_ = 0;
  int hold_until_ = 1;
  bool closing_ = false;
  std::vector<std::jthread> connections_;  // the acceptor's own
  std::jthread acceptor_;                  // goes first: it makes connections
};

}  // namespace examples
