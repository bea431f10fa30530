#include "registry/preview.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "registry/select_files.h"

namespace glm::registry {
namespace {

// What says how a model is built, how it is quantized and how it is spoken to.
constexpr std::array<std::string_view, 9> kDescribing = {"config.json",
                                                         "generation_config.json",
                                                         kIndexFile,
                                                         "quantize_config.json",
                                                         "quant_config.json",
                                                         "hf_quant_config.json",
                                                         "quantization_config.json",
                                                         "tokenizer_config.json",
                                                         "chat_template.jinja"};
constexpr std::uint64_t kSmallFileMax = 100'000'000;  // an index of 200,000 tensors has 20 MB
constexpr std::uint64_t kLengthBytes = 8;             // before the header, its length

class Reader {
 public:
  Reader(Source& source, const PreviewLimits& limits, Preview& preview, std::stop_token stop)
      : source_(source), limits_(limits), preview_(preview), stop_(std::move(stop)) {}

  Result<std::string> read(const RemoteFile& file, std::uint64_t first, std::uint64_t end) {
    if (bytes_read_.fetch_add(end - first) + (end - first) > limits_.bytes_max) {
      return make_error(Errc::corrupt, "{}: config and headers have more than {} bytes",
                        preview_.snapshot.repository, limits_.bytes_max);
    }
    std::string text;  // grows with what comes, not with what was announced
    const auto append = [&](std::span<const std::byte> bytes) -> Status {
      text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      return Ok{};
    };
    GLM_TRY(source_.read(preview_.snapshot, file, first, end, append, stop_).with(file.path));
    return text;
  }

  Status read_small_files() {
    for (const RemoteFile& file : preview_.snapshot.files) {
      if (std::find(kDescribing.begin(), kDescribing.end(), file.path) == kDescribing.end()) {
        continue;
      }
      if (file.size_bytes > kSmallFileMax) {
        return make_error(Errc::corrupt, "{} has {} bytes, more than the {} such a file may have",
                          file.path, file.size_bytes, kSmallFileMax);
      }
      preview_.small_files[file.path] = GLM_TRY(read(file, 0, file.size_bytes));
    }
    return Ok{};
  }

  Result<std::string> read_header(const RemoteFile& file) {
    if (file.size_bytes < kLengthBytes) {
      return make_error(Errc::corrupt, "{}: {} bytes are no safetensors file", file.path,
                        file.size_bytes);
    }
    const std::string prefix = GLM_TRY(read(file, 0, kLengthBytes));
    std::uint64_t length = 0;
    for (std::size_t at = kLengthBytes; at-- > 0;) {
      length = length << 8U | static_cast<unsigned char>(prefix[at]);
    }
    if (length > limits_.header_bytes_max || length > file.size_bytes - kLengthBytes) {
      return make_error(Errc::corrupt, "{}: a header of {} bytes in a file of {} cannot be",
                        file.path, length, file.size_bytes);
    }
    return read(file, kLengthBytes, kLengthBytes + length);
  }

  std::uint64_t bytes_read() const { return bytes_read_; }

 private:
  Source& source_;
  const PreviewLimits& limits_;
  Preview& preview_;
  const std::stop_token stop_;
  std::atomic<std::uint64_t> bytes_read_ = 0;
};

// All headers, several at a time; the first failure ends them all.
class HeaderReads {
 public:
  HeaderReads(Reader& reader, const std::vector<RemoteFile>& files, std::stop_source stop)
      : reader_(reader), files_(files), stop_(std::move(stop)), headers_(files.size()) {}

  Result<std::vector<WeightsHeader>> run(std::size_t connections) {
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 0; i < std::min(files_.size(), connections); ++i) {
        threads.emplace_back([this] { work(); });
      }
    }
    MutexLock lock(mutex_);
    if (failure_) return *std::move(failure_);
    if (stop_.stop_requested()) return make_error(Errc::cancelled, "cancelled");
    return std::move(headers_);
  }

 private:
  void work() {
    for (std::size_t i = next_++; i < files_.size() && !stop_.stop_requested(); i = next_++) {
      Result<std::string> json = reader_.read_header(files_[i]);
      if (json.ok()) {
        headers_[i] = {files_[i].path, *std::move(json), files_[i].size_bytes};
        continue;
      }
      MutexLock lock(mutex_);
      if (!failure_) failure_ = std::move(json).error();
      stop_.request_stop();
    }
  }

  Reader& reader_;
  const std::vector<RemoteFile>& files_;
  std::stop_source stop_;
  std::vector<WeightsHeader> headers_;  // each element is one thread's
  std::atomic<std::size_t> next_ = 0;
  Mutex mutex_;
  std::optional<Error> failure_ GLM_GUARDED_BY(mutex_);
};

// What a pull would fetch.
Result<std::vector<RemoteFile>> weights_of(const Preview& preview) {
  GLM_TRY(select_small(preview.snapshot));
  const auto index = preview.small_files.find(std::string(kIndexFile));
  return select_weights(preview.snapshot,
                        index == preview.small_files.end() ? std::string() : index->second);
}

}  // namespace

Result<Preview> preview(Source& source, const std::string& repository, const std::string& revision,
                        const PreviewLimits& limits, std::stop_token stop) {
  Preview preview;
  preview.snapshot = GLM_TRY(source.resolve(repository, revision, stop));
  std::stop_source inner;  // one failure ends all reads, and so does the caller
  const std::stop_callback pass_on(stop, [&inner] { inner.request_stop(); });
  Reader reader(source, limits, preview, inner.get_token());
  GLM_TRY(reader.read_small_files());
  Result<std::vector<RemoteFile>> weights = weights_of(preview);
  if (weights.ok()) {
    if (weights->size() > limits.weights_files_max) {
      return make_error(Errc::corrupt,
                        "{}: {} weights files are more than the {} that any model has",
                        preview.snapshot.repository, weights->size(), limits.weights_files_max);
    }
    for (const RemoteFile& file : *weights) preview.weights_bytes += file.size_bytes;
    HeaderReads reads(reader, *weights, inner);
    preview.headers =
        GLM_TRY(reads.run(static_cast<std::size_t>(std::max(source.connections(), 1))));
  } else if (weights.error().code == Errc::unsupported) {
    preview.refusal = std::move(weights).error();
  } else {
    return std::move(weights).error();
  }
  preview.bytes_read = reader.bytes_read();
  return preview;
}

}  // namespace glm::registry
