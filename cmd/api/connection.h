// One accepted connection, as the HTTP library reads and writes it and as handlers ask after its
// client. The library's own stream polls the socket up to four times for every piece of an answer;
// here a piece is one system call, bounded in time by the kernel.
//
// Thread safety: one thread at a time; gone() from any.
#pragma once

#include <httplib.h>

#include <chrono>
#include <string>

#include "base/fd.h"
#include "cmd/api/reply.h"

namespace glm::api {

class Connection final : public httplib::Stream, public Client {
 public:
  // A client may keep us waiting for so long at a time, with its request or with its reading.
  static constexpr std::chrono::seconds kPatience{5};

  explicit Connection(Fd socket);
  ~Connection() override;

  bool is_readable() const override;
  bool is_writable() const override { return true; }  // write() waits
  ssize_t read(char* bytes, std::size_t size_bytes) override;
  ssize_t write(const char* bytes, std::size_t size_bytes) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  socket_t socket() const override { return socket_.get(); }

  bool gone() const override;

  // After the last word: what the client still sends is read and forgotten until it closes, for at
  // most kPatience. Unread bytes would reset the connection, and the answer with it.
  void read_away();

 private:
  const Fd socket_;
  std::string buffer_;  // read and not taken yet: the library takes lines byte by byte
  std::size_t taken_ = 0;
};

}  // namespace glm::api
