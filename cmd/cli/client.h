// The daemon's API as the commands use it.
//
// Every call can be ended by Ctrl-C and is Errc::cancelled then; the connection closes, which is
// how the daemon learns of it. A daemon that cannot be reached is Errc::unavailable; an answer with
// an error in it becomes that Error, with the code the daemon gave it.
//
// Thread safety: one thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "base/result.h"
#include "cmd/host_address.h"

namespace glm {

using Json = nlohmann::ordered_json;

class Client {
 public:
  explicit Client(HostAddress address);
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  const HostAddress& address() const { return address_; }

  // The answer's JSON object. An empty answer is an empty object.
  Result<Json> get(std::string_view path);
  Result<Json> post(std::string_view path, const Json& body);
  Result<Json> remove(std::string_view path, const Json& body);  // DELETE

  // POST whose answer comes line by line, with no limit on the time between two lines. An error
  // from `each` ends the call and is returned.
  Status stream(std::string_view path, const Json& body,
                const std::function<Status(const Json&)>& each);

 private:
  struct Call;
  class Connection;

  Status perform(const Call& call);
  Result<Json> whole(std::string_view method, std::string_view path, const Json* body);

  HostAddress address_;
};

// Who answers at the address.
struct Peer {
  enum class Kind { nobody, glm, stranger } kind = Kind::nobody;
  std::string version;  // glm's
  std::string home;     // glm's folder, on its machine; may be empty
  std::string hub;      // the host that it pulls from; may be empty
  std::string warning;  // what its people should hear; may be empty
  std::string detail;   // what the stranger said, or how it failed
};
Peer who_answers(const HostAddress& address);

}  // namespace glm
