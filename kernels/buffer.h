// Memory of a device, owned. What lies in it is seen through TensorView and WeightView.
#pragma once

#include <cstdint>
#include <utility>

namespace glm::kernels {

class Buffer {
 public:
  using Release = void (*)(void*);

  Buffer() = default;
  Buffer(void* data, std::uint64_t size_bytes, Release release)
      : data_(data), size_bytes_(size_bytes), release_(release) {}
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer moved(std::move(other));
    swap(moved);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) release_(data_);
  }

  void* data() const { return data_; }
  std::uint64_t size_bytes() const { return size_bytes_; }

 private:
  void swap(Buffer& other) {
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    std::swap(release_, other.release_);
  }

  void* data_ = nullptr;
  std::uint64_t size_bytes_ = 0;
  Release release_ = nullptr;
};

}  // namespace glm::kernels
