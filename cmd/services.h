// The daemon's object graph, built once by cmd/daemon/serve.cc and passed down by reference.
#pragma once

#include <functional>
#include <string>

#include "base/clock.h"

namespace glm::store {
class Store;
}
namespace glm::modelfiles {
class Catalog;
}

namespace glm {
namespace daemon {
class Metrics;
class Models;
class Pulls;
}  // namespace daemon

struct Services {
  store::Store& store;
  const modelfiles::Catalog& catalog;
  daemon::Models& models;
  const daemon::Metrics& metrics;
  daemon::Pulls& pulls;
  Clock& clock;
  std::function<void()> shutdown;  // returns at once; the server ends after its answers
  std::string home = {};           // the folder of all this
  std::string hub = {};            // the host that models come from
};

}  // namespace glm
