// Bulk copies into the memory of a GPU: a stream of its own and pinned memory to fill.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "kernels/uploader.h"

namespace glm::kernels::cuda {

// Errc::exhausted: so much memory cannot be pinned.
Result<std::unique_ptr<Uploader>> make_uploader(int device_index, std::uint64_t size_bytes);

}  // namespace glm::kernels::cuda
