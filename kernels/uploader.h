// The way of bulk data into a backend's memory, for threads other than the one that runs
// operations: one uploader for each of them.
//
// Thread safety: none. May be created and destroyed on any thread.
#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"

namespace glm::kernels {

class Uploader {
 public:
  virtual ~Uploader() = default;

  // Host memory that the device copies from without a detour; the caller fills it.
  virtual std::span<std::byte> memory() = 0;

  // Begins to copy into memory of Ops::allocate(). What lies in memory() must stay as it is until
  // wait(); from any other memory the copy takes longer and is waited for here.
  virtual void send(void* target, std::span<const std::byte> source) = 0;

  // Returns when everything sent has arrived, with the first failure since the last wait.
  virtual Status wait() = 0;
};

}  // namespace glm::kernels
