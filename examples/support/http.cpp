// SPDX-License-Identifier: Apache-2.0
#include "examples/support/http.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace examples {
namespace {

constexpr std::string_view blank_line = "\r\n\r\n";
constexpr std::string_view length_field = "Content-Length: ";

void check(bool succeeded, char const* doing) {
  if (!succeeded) throw std::system_error{errno, std::generic_category(), doing};
}

sockaddr_in local_address(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

tcp_socket new_socket() { return {::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "opening a socket"}; }

tcp_socket listen_on_a_free_port() {
  tcp_socket listener = new_socket();
  sockaddr_in const address = local_address(0);
  check(::bind(listener.descriptor(), reinterpret_cast<sockaddr const*>(&address), sizeof(address)) == 0,
        "binding to 127.0.0.1");
  check(::listen(listener.descriptor(), SOMAXCONN) == 0, "listening on 127.0.0.1");
  return listener;
}

std::uint16_t port_of(tcp_socket const& listener) {
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  check(::getsockname(listener.descriptor(), reinterpret_cast<sockaddr*>(&address), &size) == 0, "asking for the port");
  return ntohs(address.sin_port);
}

void send_all(tcp_socket const& to, std::string_view text) {
  while (!text.empty()) {
    // Without MSG_NOSIGNAL, a peer that has gone would end the whole program by SIGPIPE.
    ssize_t const sent = ::send(to.descriptor(), text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    check(sent >= 0, "sending");
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

// Appends what has come; false at the end of the stream.
bool receive_some(tcp_socket const& from, std::string& text) {
  std::array<char, 4096> buffer;
  ssize_t received = 0;
  do received = ::recv(from.descriptor(), buffer.data(), buffer.size(), 0);
  while (received < 0 && errno == EINTR);
  check(received >= 0, "receiving");
  text.append(buffer.data(), static_cast<std::size_t>(received));
  return received > 0;
}

// What stands between the first `before` and the `after` behind it; nothing where either is missing.
std::string_view between(std::string_view text, std::string_view before, std::string_view after) {
  std::size_t const start = text.find(before);
  if (start == std::string_view::npos) return {};
  text.remove_prefix(start + before.size());
  std::size_t const end = text.find(after);
  return end == std::string_view::npos ? std::string_view{} : text.substr(0, end);
}

}  // namespace

tcp_socket::tcp_socket(int descriptor, char const* doing) : descriptor_{descriptor} { check(descriptor >= 0, doing); }

tcp_socket::~tcp_socket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::string http_get(std::uint16_t port, std::string const& path) {
  tcp_socket const server = new_socket();
  sockaddr_in const address = local_address(port);
  check(::connect(server.descriptor(), reinterpret_cast<sockaddr const*>(&address), sizeof(address)) == 0,
        "connecting to 127.0.0.1");
  send_all(server, "GET " + path + " HTTP/1.0\r\n\r\n");
  std::string reply;
  while (receive_some(server, reply)) {
  }

  std::size_t const head_end = reply.find(blank_line);
  if (head_end == std::string::npos) throw std::runtime_error{"GET " + path + ": the server gave no answer"};
  std::string_view const status = between(reply, " ", "\r\n");
  if (status != "200 OK") throw std::runtime_error{"GET " + path + ": " + std::string{status}};
  std::string body = reply.substr(head_end + blank_line.size());
  if (std::to_string(body.size()) != between(reply, length_field, "\r\n"))
    throw std::runtime_error{"GET " + path + ": the answer was cut short"};
  return body;
}

http_server::http_server(std::map<std::string, http_page> pages)
    : pages_{std::move(pages)},
      listener_{listen_on_a_free_port()},
      port_{port_of(listener_)},
      acceptor_{[this] { accept_all(); }} {}

http_server::~http_server() {
  {
    std::lock_guard const lock{mutex_};
    closing_ = true;
  }
  arrived_.notify_all();
  ::shutdown(listener_.descriptor(), SHUT_RDWR);  // on Linux, this ends a blocked accept()
  acceptor_.join();
}

void http_server::hold_until_together(int requests) {
  std::lock_guard const lock{mutex_};
  hold_until_ = requests;
  most_at_once_ = 0;
}

int http_server::most_at_once() const {
  std::lock_guard const lock{mutex_};
  return most_at_once_;
}

void http_server::accept_all() {
  try {
    while (true) {
      int accepted = -1;
      do accepted = ::accept4(listener_.descriptor(), nullptr, nullptr, SOCK_CLOEXEC);
      while (accepted < 0 && (errno == EINTR || errno == ECONNABORTED));
      tcp_socket client{accepted, "accepting a connection"};
      connections_.emplace_back([this, client = std::move(client)] {
        try {
          serve(client);
        } catch (std::exception const& error) {
          std::fprintf(stderr, "http_server: %s\n", error.what());
        }
      });
    }
  } catch (std::exception const& error) {
    std::lock_guard const lock{mutex_};
    if (!closing_) std::fprintf(stderr, "http_server: no more connections: %s\n", error.what());
  }
}

void http_server::serve(tcp_socket const& client) {
  std::string request;
  while (request.find(blank_line) == std::string::npos && receive_some(client, request)) {
  }
  std::string const path{between(request, "GET ", " HTTP/1.0\r\n")};
  send_all(client, answer(path));
}

std::string http_server::answer(std::string const& path) {
  {
    std::unique_lock lock{mutex_};
    most_at_once_ = std::max(most_at_once_, ++at_once_);
    arrived_.notify_all();
    arrived_.wait(lock, [this] { return most_at_once_ >= hold_until_ || closing_; });
  }
  auto const page = pages_.find(path);
  bool const found = page != pages_.end();
  if (found) std::this_thread::sleep_for(page->second.delay);
  {
    // Before the answer goes out, so that a client that asks again at once is not counted twice.
    std::lock_guard const lock{mutex_};
    --at_once_;
  }
  std::string const body = found ? page->second.text : "";
  std::string reply = found ? "HTTP/1.0 200 OK\r\n" : "HTTP/1.0 404 Not Found\r\n";
  reply += length_field;
  reply += std::to_string(body.size());
  reply += blank_line;
  return reply + body;
}

}  // namespace examples
