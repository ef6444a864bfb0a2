// SPDX-License-Identifier: Apache-2.0
/*
 * The peer of the benchmarks: a gRPC C++ server of our own service with the asynchronous API, one
 * thread and one completion queue, as gRPC's documentation recommends; and a client for streams.
 *
 *   bench_peer serve SOCKET REPLY [PROGRAM ARGUMENT…]
 *                                  answers GetInfo with the message in file REPLY, and Attach with
 *                                  Output messages of 64 KiB until the client cancels: of bytes in
 *                                  memory, or of what PROGRAM, started for the call, writes to a pipe
 *   bench_peer getinfo SOCKET      writes the bytes of a server's GetInfo reply to standard output
 *   bench_peer attach SOCKET BYTES [PROCESS]   reads output until BYTES have come; prints seconds
 */
#include "openshell/agent/v1/agent.grpc.pb.h"

#include <grpcpp/grpcpp.h>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>

namespace api = openshell::agent::v1;
using Service = api::SandboxAgent;
/* All methods answer UNIMPLEMENTED but these two. */
using AsyncService =
    Service::WithAsyncMethod_GetInfo<Service::WithAsyncMethod_Attach<Service::Service>>;

namespace {

constexpr size_t kChunk = 64 * 1024;

struct Step {
    virtual ~Step() = default;
    virtual void proceed(bool ok) = 0;
};

class GetInfoCall final : public Step {
  public:
    GetInfoCall(AsyncService *service, grpc::ServerCompletionQueue *queue,
                const api::GetInfoResponse &reply)
        : service_(service), queue_(queue), reply_(reply), responder_(&context_)
    {
        service_->RequestGetInfo(&context_, &request_, &responder_, queue_, queue_, this);
    }

    void proceed(bool ok) override
    {
        if (finished_ || !ok) {
            delete this;
            return;
        }
        new GetInfoCall(service_, queue_, reply_);
        finished_ = true;
        api::GetInfoResponse reply(reply_); /* a server fills a fresh message for each call */
        responder_.Finish(reply, grpc::Status::OK, this);
    }

  private:
    AsyncService *service_;
    grpc::ServerCompletionQueue *queue_;
    const api::GetInfoResponse &reply_;
    grpc::ServerContext context_;
    api::GetInfoRequest request_;
    grpc::ServerAsyncResponseWriter<api::GetInfoResponse> responder_;
    bool finished_ = false;
};

class AttachCall final : public Step {
  public:
    AttachCall(AsyncService *service, grpc::ServerCompletionQueue *queue, char **program)
        : service_(service), queue_(queue), program_(program), stream_(&context_)
    {
        service_->RequestAttach(&context_, &stream_, queue_, queue_, this);
    }

    ~AttachCall() override
    {
        if (pipe_ < 0)
            return;
        close(pipe_);
        waitpid(pid_, nullptr, 0);
    }

    void proceed(bool ok) override
    {
        if (!started_ && ok) {
            started_ = true;
            new AttachCall(service_, queue_, program_);
            answer_.mutable_output()->set_stream(api::OUTPUT_STREAM_STDOUT);
            answer_.mutable_output()->mutable_data()->assign(kChunk, 'x');
            ok = program_ == nullptr || start_program();
        }
        if (!ok || finished_) {
            delete this;
            return;
        }
        ssize_t got = pipe_ < 0 ? static_cast<ssize_t>(kChunk) : read_program();
        if (got <= 0) {
            finished_ = true;
            stream_.Finish(grpc::Status::OK, this);
            return;
        }
        answer_.mutable_output()->set_offset(offset_);
        offset_ += static_cast<uint64_t>(got);
        stream_.Write(answer_, this);
    }

  private:
    bool start_program()
    {
        int ends[2];
        posix_spawn_file_actions_t actions;
        if (pipe2(ends, O_CLOEXEC) < 0)
            return false;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
        int failed = posix_spawn(&pid_, program_[0], &actions, nullptr, program_, environ);
        posix_spawn_file_actions_destroy(&actions);
        close(ends[1]);
        pipe_ = ends[0];
        return failed == 0;
    }

    ssize_t read_program()
    {
        std::string *data = answer_.mutable_output()->mutable_data();
        data->resize(kChunk);
        ssize_t got = read(pipe_, data->data(), kChunk);
        data->resize(got > 0 ? static_cast<size_t>(got) : 0);
        return got;
    }

    AsyncService *service_;
    grpc::ServerCompletionQueue *queue_;
    char **program_; /* argv; null: bytes in memory */
    int pipe_ = -1;
    pid_t pid_ = -1;
    grpc::ServerContext context_;
    grpc::ServerAsyncReaderWriter<api::AttachResponse, api::AttachRequest> stream_;
    api::AttachResponse answer_;
    uint64_t offset_ = 0;
    bool started_ = false;
    bool finished_ = false;
};

int serve(const std::string &socket, const char *reply_path, char **program)
{
    std::ifstream file(reply_path, std::ios::binary);
    api::GetInfoResponse reply;
    if (!reply.ParseFromIstream(&file)) {
        std::cerr << reply_path << " holds no GetInfoResponse\n";
        return 1;
    }
    AsyncService service;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
    builder.RegisterService(&service);
    auto queue = builder.AddCompletionQueue();
    auto server = builder.BuildAndStart();
    if (!server)
        return 1;
    for (int i = 0; i < 128; i++) /* as many calls wait to be taken as clients are in the test */
        new GetInfoCall(&service, queue.get(), reply);
    new AttachCall(&service, queue.get(), program);
    void *tag = nullptr;
    bool ok = false;
    while (queue->Next(&tag, &ok))
        static_cast<Step *>(tag)->proceed(ok);
    return 0;
}

std::unique_ptr<Service::Stub> connect(const std::string &socket)
{
    return Service::NewStub(
        grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials()));
}

int get_info(const std::string &socket)
{
    grpc::ClientContext context;
    api::GetInfoResponse reply;
    auto status = connect(socket)->GetInfo(&context, {}, &reply);
    if (!status.ok()) {
        std::cerr << status.error_message() << "\n";
        return 1;
    }
    return reply.SerializeToOstream(&std::cout) ? 0 : 1;
}

/* Prints seconds, bytes received and bytes that the server says were lost. */
int attach(const std::string &socket, uint64_t wanted, const std::string &process)
{
    auto stub = connect(socket);
    grpc::ClientContext context;
    auto stream = stub->Attach(&context);
    api::AttachRequest request;
    request.mutable_start()->set_process_id(process);
    request.mutable_start()->set_follow(true);
    stream->Write(request);
    api::AttachResponse answer;
    uint64_t got = 0, lost = 0;
    auto start = std::chrono::steady_clock::now();
    while (got + lost < wanted && stream->Read(&answer)) {
        if (got == 0)
            start = std::chrono::steady_clock::now();
        got += answer.output().data().size();
        lost += answer.gap().lost_bytes();
    }
    std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    context.TryCancel();
    stream->Finish();
    std::cout << taken.count() << " " << got << " " << lost << "\n";
    return got + lost >= wanted ? 0 : 1;
}

} // namespace

int main(int argc, char **argv)
{
    const std::string verb = argc > 2 ? argv[1] : "";
    if (verb == "serve" && argc >= 4)
        return serve(argv[2], argv[3], argc > 4 ? argv + 4 : nullptr);
    if (verb == "getinfo" && argc == 3)
        return get_info(argv[2]);
    if (verb == "attach" && argc >= 4)
        return attach(argv[2], std::stoull(argv[3]), argc > 4 ? argv[4] : "");
    std::cerr << "usage: bench_peer serve SOCKET REPLY [PROGRAM ARGUMENT...] | getinfo SOCKET | "
                 "attach SOCKET BYTES [PROCESS]\n";
    return 2;
}
