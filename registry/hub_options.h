// Which hub, and as whom: what the environment says, by the names the official client uses.
#pragma once

#include <string>

#include "base/result.h"
#include "registry/retry.h"

namespace glm::registry {

struct HubOptions {
  std::string endpoint = "https://huggingface.co";
  std::string token;  // empty: anonymous
  bool offline = false;
  RetryPolicy retry;
};

// HF_ENDPOINT, HF_TOKEN, HUGGING_FACE_HUB_TOKEN, HF_TOKEN_PATH, HF_HOME, HF_HUB_OFFLINE,
// HF_HUB_DISABLE_IMPLICIT_TOKEN. Errc::invalid_argument for an endpoint or token that cannot be.
Result<HubOptions> hub_options_from_environment();

}  // namespace glm::registry
