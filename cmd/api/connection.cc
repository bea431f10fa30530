#include "cmd/api/connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace glm::api {
namespace {

constexpr std::size_t kReadBytes = 4096;
constexpr std::size_t kReadAwayBytes = 64 << 10;

ssize_t receive(int fd, char* bytes, std::size_t size_bytes) {
  ssize_t got = 0;
  do {
    got = ::recv(fd, bytes, size_bytes, 0);
  } while (got < 0 && errno == EINTR);
  return got;
}

void read_address(const sockaddr_storage& address, std::string& ip, int& port) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    port = ntohs(v4.sin_port);
  } else if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    port = ntohs(v6.sin6_port);
  }
  ip = text;
}

}  // namespace

Connection::Connection(Fd socket) : socket_(std::move(socket)) {
  const timeval patience{.tv_sec = kPatience.count(), .tv_usec = 0};
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    (void)::setsockopt(socket_.get(), SOL_SOCKET, option, &patience, sizeof patience);
  }
}

Connection::~Connection() {
  (void)::shutdown(socket_.get(), SHUT_RDWR);
}

bool Connection::is_readable() const {
  return taken_ < buffer_.size() || !gone();
}

ssize_t Connection::read(char* bytes, std::size_t size_bytes) {
  if (taken_ == buffer_.size()) {
    if (size_bytes >= kReadBytes) return receive(socket_.get(), bytes, size_bytes);
    buffer_.resize(kReadBytes);
    taken_ = 0;
    const ssize_t got = receive(socket_.get(), buffer_.data(), buffer_.size());
    buffer_.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got <= 0) return got;
  }
  const std::size_t count = std::min(size_bytes, buffer_.size() - taken_);
  std::memcpy(bytes, buffer_.data() + taken_, count);
  taken_ += count;
  return static_cast<ssize_t>(count);
}

ssize_t Connection::write(const char* bytes, std::size_t size_bytes) {
  ssize_t sent = 0;
  do {
    sent = ::send(socket_.get(), bytes, size_bytes, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

void Connection::get_remote_ip_and_port(std::string& ip, int& port) const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return;
  read_address(address, ip, port);
}

void Connection::get_local_ip_and_port(std::string& ip, int& port) const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return;
  read_address(address, ip, port);
}

void Connection::read_away() {
  (void)::shutdown(socket_.get(), SHUT_WR);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  buffer_.resize(kReadAwayBytes);
  while (std::chrono::steady_clock::now() < deadline &&
         receive(socket_.get(), buffer_.data(), buffer_.size()) > 0) {
  }
  buffer_.clear();
  taken_ = 0;
}

bool Connection::gone() const {
  char byte = 0;
  const ssize_t got = ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got > 0) return false;
  return got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

}  // namespace glm::api
