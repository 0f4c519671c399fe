/* The protocol of a delivery: park, wake, acknowledge, cancel and redrive, with everything that can go wrong between.

   One person in one conversation, two connections, two messages. Every transition is one request to a service, as the
   code makes it, so all orders of requests are tried. `docs/model.md` says what is left out, and why.

   A comment of the form "code: FUNCTION PORT.METHOD" ties a step to the call that it stands for. tests/unit/model reads
   them, runs the real functions, and fails where the two differ. The scenes and the planted bugs are macros; their
   values stand in tests/model/scenes.py. */

/* ---- A scene: how much of what happens. ------------------------------------------------------------------------ */
#ifndef RUNS
#define RUNS 2          /* executions: run 0 carries message 0, run 1 message 1, run 2 is the redrive of message 0 */
#endif
#ifndef CLIENT_ACKS
#define CLIENT_ACKS 2   /* which messages are to be acknowledged by the client, as a set: 2 is message 1 */
#endif
#ifndef FAULTS
#define FAULTS 1        /* crashes, calls without an answer, functions that outlive their state */
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 1      /* token timeouts that come while something else is still going on */
#endif
#ifndef REPEATS
#define REPEATS 1       /* stream records and $disconnects that come once more */
#endif
#ifndef CANCELS
#define CANCELS 0       /* StopExecution */
#endif
#ifndef MAX_ATTEMPTS
#define MAX_ATTEMPTS 0  /* after so many a run gives up; 0 is never, and the attempts are not counted then */
#endif

#define MESSAGE(r)       ((r) % 2)
#define IS_ACKED(r)      ((CLIENT_ACKS >> MESSAGE(r)) & 1)
#define BIT(c)           (1 << (c))
#ifndef SLOTS
#define SLOTS 1         /* functions that a run can have at a time; 2: one can outlive its state while the next one runs */
#endif
#define FUNCTIONS        (SLOTS * RUNS)
#define NOBODY           FUNCTIONS  /* a slot that is always empty */

mtype = { NEVER, HANDSHAKE, OPEN, HALF_OPEN, CLOSED };                          /* a socket */
mtype = { UNBORN, TO_RESOLVE, RESOLVING, POSTING, WAITING,   /* a run */
          LETTER, DELIVERED, ACKNOWLEDGED, CANCELLED, DEAD };
mtype = { NONE, RESOLVE, POST, PARK };                                          /* a function, or none */
mtype = { DONE, GONE, FAILED, HOPELESS };                                       /* its answer */

/* ---- What the services keep. ------------------------------------------------------------------------------------ */
/* API Gateway */
mtype socket[2] = NEVER;
byte disconnects[2];       /* $disconnects under way */
byte begun;                /* $connects that have begun */
/* Connections table: sets of connections */
byte rows;
byte stale;                /* rows with stale_since */
byte young;                /* connected less than YOUNG_CONNECTION ago */
byte records;              /* inserts that the stream has still to bring */
/* Callbacks table: the entry that each row was written by, 0 is no row */
byte parked[RUNS];         /* reconnect#… */
byte awaiting[RUNS];       /* ack#… */
bool late[RUNS];           /* late#… */
/* Step Functions */
mtype state[RUNS] = UNBORN;
byte token[RUNS];          /* the entry whose token is open, 0 is none */
byte held[RUNS];           /* connections handed on, then those that were tried */
bool cameLate[RUNS];       /* the token was completed with a late acknowledgement */
byte came[RUNS];           /* … or with these connections */
byte attempt[RUNS];
bool unacknowledged[RUNS];
byte youngThen[RUNS];      /* as it was at triedAt: connections that were young, */
byte staleThen[RUNS];      /* these, and those not tried, that were stale already, and still are */
byte current[RUNS] = NOBODY;  /* the function whose answer the run hears */
bool expired;              /* the messages' life is over */
/* Dead letter queue: letters of run 0 and run 1 */
byte letters[RUNS];
/* What functions hold in memory. */
mtype job[FUNCTIONS + 1] = NONE;
byte mine[FUNCTIONS];      /* its entry */
byte with[FUNCTIONS];      /* the connections it was handed */
byte youngArg[FUNCTIONS];
byte staleArg[FUNCTIONS];
bool unackArg[FUNCTIONS];
bool lastArg[FUNCTIONS];   /* no attempt is left */
byte seenByWake[RUNS];     /* what a query has answered */
byte seenByAck[2 * RUNS];
byte toAck[2];             /* acknowledgements that a client has sent over this connection, as a set of messages */

/* ---- What happens to it. ------------------------------------------------------------------------------------------ */
byte faults = FAULTS;
byte timeouts = TIMEOUTS;
byte repeats = REPEATS;
byte cancels = CANCELS;
bool ready;                /* World has begun */
byte leaving;              /* connections that will close some time */

/* ---- What the properties speak of. ------------------------------------------------------------------------------- */
byte met[RUNS];            /* young connections that answered the run 410 */
byte tried[RUNS];          /* open connections that the run has posted to, in truth */
bool cut;                  /* the function died after it had kept an acknowledgement: then a timeout finds it */
bool forgotten;            /* an acknowledgement that a planted bug does not keep */
bool handled[2];           /* the client has handled this message */
byte counted[RUNS];        /* completions that were taken for a delivery */

/* A number for a new token: greater than all of this run's that anybody still knows. Numbers that nobody knows any
   more are used again, which keeps the states few. */
inline newToken(r) {
  d_step {
    token[r] = parked[r];
    if :: awaiting[r] > token[r] -> token[r] = awaiting[r] :: else fi;
    if :: mine[SLOTS * r] > token[r] -> token[r] = mine[SLOTS * r] :: else fi;
#if SLOTS > 1
    if :: mine[SLOTS * r + 1] > token[r] -> token[r] = mine[SLOTS * r + 1] :: else fi;
#endif
    if :: seenByWake[r] > token[r] -> token[r] = seenByWake[r] :: else fi;
    if :: seenByAck[r] > token[r] -> token[r] = seenByAck[r] :: else fi;
    if :: seenByAck[RUNS + r] > token[r] -> token[r] = seenByAck[RUNS + r] :: else fi;
    token[r]++
  }
}

#define HAS_ROOM(r) (job[SLOTS * (r)] == NONE || job[SLOTS * (r) + SLOTS - 1] == NONE)

/* The state calls its function. */
inline invoke(r, what) {
  d_step {
    current[r] = (job[SLOTS * r] == NONE -> SLOTS * r : SLOTS * r + 1);
    mine[current[r]] = token[r];
    with[current[r]] = held[r];
    if
    :: what == PARK ->
       youngArg[current[r]] = youngThen[r]; staleArg[current[r]] = staleThen[r];
       unackArg[current[r]] = unacknowledged[r];
       lastArg[current[r]] = (expired || (MAX_ATTEMPTS && attempt[r] >= MAX_ATTEMPTS))
    :: else
    fi;
    job[current[r]] = what
  }
}

/* Whether a connection is of age is decided when somebody asks: it may be, as soon as its handshake has ended. */
inline age(c) {
  if
#ifndef STAYS_YOUNG
  :: (young & BIT(c)) && socket[c] != HANDSHAKE -> young = young & ~BIT(c)
#endif
  :: true
  fi
}

/* State.EnteredTime, and what the recheck will ask of it: of those tried, which were young; of these and of the others,
   which were stale already. */
inline enter(r) {
  if :: held[r] & 1 -> age(0) :: else fi;
  if :: held[r] & 2 -> age(1) :: else fi;
  d_step {
    youngThen[r] = young & held[r];
    staleThen[r] = stale & (~held[r] | youngThen[r])
  }
}

inline count(r) { if :: attempt[r] < MAX_ATTEMPTS -> attempt[r]++ :: else fi }

inline leave(r) { d_step { token[r] = 0; current[r] = NOBODY } }

/* SendTaskSuccess: a token is completed once, and only while its state waits. */
inline succeed(whose, which, connections, isLate, went) {
  d_step {
    went = (token[whose] == which); printf("run %d: is to go on, and does: %d\n", whose, went);
    if
    :: went -> token[whose] = 0; came[whose] = connections; cameLate[whose] = isLate
    :: else
    fi
  }
}

#define ENDED(r) \
  (state[r] == DELIVERED || state[r] == ACKNOWLEDGED || state[r] == CANCELLED || state[r] == DEAD || state[r] == UNBORN)
#define FAULT faults > 0 -> faults--

/* ---- One execution of statemachines/delivery.asl.json. ------------------------------------------------------------ */
/* What nobody will ask for any more is forgotten, which keeps the states few. */
inline ends(r, how) {
  d_step {
    leave(r); state[r] = how;
    held[r] = 0; came[r] = 0; cameLate[r] = false; unacknowledged[r] = false; attempt[r] = 0;
    youngThen[r] = 0; staleThen[r] = 0; met[r] = 0; tried[r] = 0
  }
}

inline toResolve(r) {
  d_step { leave(r); state[r] = RESOLVING; held[r] = 0; unacknowledged[r] = false; count(r) }
  enter(r); invoke(r, RESOLVE)
}

inline toPost(r) {
  leave(r); state[r] = POSTING; unacknowledged[r] = false; enter(r);
  if :: IS_ACKED(r) -> newToken(r) :: else fi;
  invoke(r, POST)
}

inline toWait(r) {
  leave(r); state[r] = WAITING; newToken(r); invoke(r, PARK)
}

#define WAITS(r) (state[r] == WAITING && token[r])
#define POSTS(r) (state[r] == POSTING && (!IS_ACKED(r) || token[r]))

/* The machine takes what it has handed over for tried: who is there, and was not heard of, is tried again after the
   backoff, which is short then. */
inline assume(r) {
  if :: (held[r] & 1) && socket[0] != CLOSED -> tried[r] = tried[r] | 1 :: else fi;
  if :: (held[r] & 2) && socket[1] != CLOSED -> tried[r] = tried[r] | 2 :: else fi
}

inline timedOut(r) { assume(r); unacknowledged[r] = true; toWait(r) }

#define IS_LOST(r) (faults > 0 && current[r] != NOBODY && job[current[r]] != NONE)

/* Retry. */
inline again(r) {
  if
  :: state[r] == RESOLVING -> invoke(r, RESOLVE)
  :: state[r] == POSTING -> if :: IS_ACKED(r) -> newToken(r) :: else fi; invoke(r, POST)
  :: state[r] == WAITING -> newToken(r); invoke(r, PARK)
  fi
}

/* The machine goes where the function's answer sends it. That is one step with the function's last request: between
   the two nobody can tell. */
inline hear(r, what) {
  current[r] = NOBODY;
  if
  :: what == HOPELESS && (state[r] == RESOLVING || POSTS(r) || WAITS(r)) -> leave(r); state[r] = LETTER
  :: what == DONE && state[r] == RESOLVING -> toPost(r)
  :: what == DONE && state[r] == POSTING && !IS_ACKED(r) -> ends(r, DELIVERED)
  :: what == GONE && (state[r] == RESOLVING || POSTS(r)) -> toWait(r)
  :: what == FAILED && (state[r] == RESOLVING || POSTS(r) || WAITS(r)) -> again(r)
  /* … or has done so too often. */
  :: what == FAILED && (state[r] == RESOLVING || WAITS(r)) -> leave(r); state[r] = TO_RESOLVE
  :: what == FAILED && POSTS(r) -> assume(r); toWait(r)
  :: else                                                                     /* its token says what happens */
  fi
}

active [RUNS] proctype Run() {
  byte r = _pid;
  if
  :: atomic { ready && r < 2 -> toResolve(r) }
  :: r == 2
  fi;

end:
  do
  :: atomic { state[r] == TO_RESOLVE && HAS_ROOM(r) -> toResolve(r) }
  :: atomic { state[r] == POSTING && IS_ACKED(r) && token[r] == 0 -> ends(r, ACKNOWLEDGED) }
  :: atomic { state[r] == WAITING && token[r] == 0 && cameLate[r] -> ends(r, ACKNOWLEDGED) }
  :: atomic { state[r] == WAITING && token[r] == 0 && !cameLate[r] && HAS_ROOM(r) ->
       held[r] = came[r]; came[r] = 0; count(r); toPost(r) }

  /* Step Functions has lost sight of a function that lives on: Retry calls it again, with a new token. */
#if SLOTS > 1
  :: atomic { HAS_ROOM(r) && (state[r] == RESOLVING || POSTS(r) || WAITS(r)) && IS_LOST(r) -> faults--; again(r) }
#endif

  /* A token's time is up while other things are going on; when nothing is, see Time. */
  :: atomic { timeouts > 0 && WAITS(r) && HAS_ROOM(r) -> timeouts--; toResolve(r) }
  :: atomic { timeouts > 0 && POSTS(r) && IS_ACKED(r) && HAS_ROOM(r) -> timeouts--; timedOut(r) }

  /* SendMessage, whose answer may be lost: then the state sends the letter again. */
  :: atomic { state[r] == LETTER -> letters[r]++; ends(r, DEAD) }
  :: atomic { state[r] == LETTER && letters[r] == 0 && faults > 0 -> faults--; letters[r]++ }
  od
}

/* ---- The functions that a run calls. ------------------------------------------------------------------------------- */

/* A function returns. */
inline returns(what) { reply = what; goto ending }

/* The client has the frame. It handles each id once, and acknowledges every time. */
inline receive(c) {
#ifdef BUG_NO_DEDUPE
  assert(!handled[MESSAGE(r)]);
#endif
  handled[MESSAGE(r)] = true;
  if :: IS_ACKED(r) -> toAck[c] = toAck[c] | BIT(MESSAGE(r)) :: else fi
}

inline reach(c) { if :: current[r] == k && socket[c] == OPEN -> tried[r] = tried[r] | BIT(c) :: else fi }

/* Posting again to a connection that is not there yet tells nothing new until its handshake has ended. */
#define WORTH(c) (todo & BIT(c)) && !((met[r] & BIT(c)) && socket[c] == HANDSHAKE)

inline postTo(c) {
  todo = todo & ~BIT(c);
  reach(c);
  if
  :: socket[c] == CLOSED && (met[r] & BIT(c)) -> young = young & ~BIT(c)      /* the rounds take longer than its youth */
  :: socket[c] == CLOSED && !(met[r] & BIT(c)) -> age(c)
  :: socket[c] != CLOSED
  fi;
  if
  :: /* code: post sockets.post */
     printf("run %d: posts to connection %d, whose socket is %e\n", r, c, socket[c]);
     if
     :: socket[c] == OPEN -> posted = true; receive(c)
     :: socket[c] == HALF_OPEN -> posted = true
#ifndef BUG_NO_GRACE_FOR_THE_YOUNG
     :: socket[c] != OPEN && socket[c] != HALF_OPEN && (young & BIT(c)) -> met[r] = met[r] | BIT(c)
#endif
     :: else -> gone = gone | BIT(c)
     fi
  :: FAULT; failed = true                                                     /* 429, 5xx */
  :: socket[c] == OPEN && FAULT; failed = true; receive(c)                    /* taken, and the answer lost */
  :: FAULT; returns(FAILED)
  fi
}

inline forget(c) {
  gone = gone & ~BIT(c);
  if
  :: /* code: post connections.delete */ remove(c)
  :: FAULT                                                                    /* it is met again */
  fi
}

inline remove(which) { rows = rows & ~BIT(which); unmark(which); printf("connection %d: its row is deleted\n", which) }

/* It is stale no more; if it becomes so again, that is new to everybody. */
inline unmark(which) {
  d_step {
    stale = stale & ~BIT(which);
    staleThen[0] = staleThen[0] & stale; staleArg[0] = staleArg[0] & stale;
#if RUNS > 1
    staleThen[1] = staleThen[1] & stale; staleArg[SLOTS] = staleArg[SLOTS] & stale;
#endif
#if RUNS > 2
    staleThen[2] = staleThen[2] & stale; staleArg[2 * SLOTS] = staleArg[2 * SLOTS] & stale;
#endif
#if SLOTS > 1
    staleArg[1] = staleArg[1] & stale;
#endif
  }
}

/* The callback is written only if no later state of the run has written it: who comes late must not hide the later one. */
inline storeCallback() {
  if
  :: /* code: park_for_reconnect callbacks.park_for_reconnect */
     if
#ifndef BUG_ENTRY_NOT_COMPARED
     :: parked[r] > mine[k] -> assert(current[r] != k); returns(DONE)
#endif
     :: else -> parked[r] = mine[k]; printf("run %d: its wait is stored\n", r)
     fi
  :: FAULT; returns(FAILED)
  fi
}

/* Of the connections that are there now, those that the last attempt may have gone past. */
#define IS_STALE(c) (staleArg[k] & BIT(c))                               /* it was so at triedAt */
#ifdef BUG_STALE_WHERE_NOTHING_TOOK_IT
#define IS_SAID_OF_IT(c) (stale & BIT(c))
#else
#define IS_SAID_OF_IT(c) (unackArg[k] && IS_STALE(c))
#endif
#define IS_MISSED(c) ((rows & BIT(c)) && ((with[k] & BIT(c)) \
  -> ((youngArg[k] & BIT(c)) && !IS_SAID_OF_IT(c)) : !IS_STALE(c)))

inline recheck() {
  if
  :: /* code: park_for_reconnect connections.of_recipient */
     printf("run %d: reads the connections again: %d\n", r, rows);
     if :: IS_MISSED(0) -> missed = missed | 1 :: else fi;
     if :: IS_MISSED(1) -> missed = missed | 2 :: else fi;
     todo = (unackArg[k] -> with[k] & rows : 0)
  :: FAULT; returns(FAILED)
  fi
}

inline mark(c) {
  todo = todo & ~BIT(c);
  if
  :: /* code: park_for_reconnect connections.mark_stale */
     if :: rows & BIT(c) -> stale = stale | BIT(c) :: else fi
  :: FAULT; todo = 0
  fi
}

active [FUNCTIONS] proctype Function() {
  byte k = _pid - RUNS;
  byte r = k / SLOTS;
  byte todo;               /* connections still to post to, or to mark */
  byte gone;               /* connections to forget */
  byte missed;             /* connections to go on with */
  bool went, posted, failed;
  mtype reply;

end_idle:
  if
  :: atomic { job[k] == RESOLVE ->
       if
       :: expired -> returns(HOPELESS)
       :: !expired ->
          /* code: resolve connections.of_recipient */
          printf("run %d: resolves: %d\n", r, rows);
          if :: current[r] == k -> held[r] = rows :: else fi;
          if :: rows -> returns(DONE) :: else -> returns(GONE) fi
       :: FAULT; returns(FAILED)
       fi;
       goto end_idle }

  :: atomic { job[k] == POST && expired -> returns(HOPELESS) }
  :: atomic { job[k] == POST && !IS_ACKED(r) && !expired -> todo = with[k]; goto post }
  :: atomic { job[k] == POST && IS_ACKED(r) && !expired ->
       todo = with[k];
       if
       :: /* code: awaiting_acknowledgement callbacks.park_for_acknowledgement */
          if
#ifndef BUG_ENTRY_NOT_COMPARED
          :: awaiting[r] > mine[k] -> assert(current[r] != k); returns(FAILED)     /* Superseded */
#endif
          :: else -> awaiting[r] = mine[k]
          fi
       :: FAULT; returns(FAILED)
       fi;
       goto post }

#ifdef BUG_RECHECK_BEFORE_WRITE
  :: atomic { job[k] == PARK && !lastArg[k] -> recheck(); goto park }
#else
  :: atomic { job[k] == PARK && !lastArg[k] -> storeCallback(); goto look }
#endif
  :: atomic { job[k] == PARK && lastArg[k] -> goto look }
  fi;

post: /* To all connections that were handed over, in any order. There is one round: a later round is a later post. */
  do
  :: atomic { WORTH(0) -> postTo(0) }
  :: atomic { WORTH(1) -> postTo(1) }
  :: atomic { todo == 0 && (gone & 1) -> forget(0) }
  :: atomic { todo == 0 && gone == 2 -> forget(1) }
  :: atomic { todo == 0 && gone == 0 && (posted || !IS_ACKED(r)) ->
       if
       :: posted -> returns(DONE)
       :: posted && FAULT; returns(FAILED)
       :: !posted && failed -> returns(FAILED)
       :: else -> returns(GONE)
       fi;
       goto end_idle }
  :: atomic { todo == 0 && gone == 0 && !posted && IS_ACKED(r) ->
       /* code: awaiting_acknowledgement callbacks.remove_acknowledgement */
       if :: awaiting[r] == mine[k] -> awaiting[r] = 0 :: faults > 0 -> faults-- :: awaiting[r] != mine[k] -> skip fi;
       if :: failed -> returns(FAILED) :: else -> returns(GONE) fi;
       goto end_idle }
  od;

#ifdef BUG_RECHECK_BEFORE_WRITE
park:
  atomic { storeCallback() }
#endif

look:
  if
  :: atomic { IS_ACKED(r) ->
       /* code: park_for_reconnect callbacks.kept_acknowledgement */
       if
       :: late[r] -> goto take
       :: !late[r] && lastArg[k] -> returns(HOPELESS)
       :: !late[r] && !lastArg[k] -> skip
       :: FAULT; returns(FAILED)
       fi }
  :: atomic { !IS_ACKED(r) && lastArg[k] -> returns(HOPELESS) }
  :: atomic { !IS_ACKED(r) && !lastArg[k] -> skip }
  fi;
#ifdef BUG_NO_RECHECK
  atomic { returns(DONE) };
#endif
#ifndef BUG_RECHECK_BEFORE_WRITE
  atomic { recheck() };
#endif
  do
  :: atomic { todo & 1 -> mark(0) }
  :: atomic { todo & 2 -> mark(1) }
  :: atomic { todo == 0 && missed && token[r] == mine[k] -> goto go_on }
  :: atomic { todo == 0 && missed && token[r] != mine[k] -> goto unpark }        /* it is closed for good: told so */
  :: atomic { todo == 0 && !missed -> returns(DONE) }
  od;

go_on:
  atomic {
    if
    :: /* code: park_for_reconnect tokens.succeed */ succeed(r, mine[k], missed, false, went)
    :: FAULT; returns(FAILED)
    fi };
  goto unpark;

take: /* the late acknowledgement */
  atomic {
    if
    :: /* code: park_for_reconnect tokens.succeed */ succeed(r, mine[k], 0, true, went);
       if :: went -> counted[r]++ :: else fi
    :: FAULT; returns(FAILED)
    fi };

unpark:
  atomic {
    if
    :: /* code: park_for_reconnect callbacks.remove_reconnect */
       if :: parked[r] == mine[k] -> parked[r] = 0 :: else fi
    :: FAULT
    fi;
    returns(DONE) }

  /* Nobody hears one that has outlived its state. */
  atomic {
    false;                                                                    /* in the middle, or it were two steps */
ending:
    job[k] = NONE; mine[k] = 0; with[k] = 0; youngArg[k] = 0; staleArg[k] = 0; unackArg[k] = false; lastArg[k] = false;
    todo = 0; gone = 0; missed = 0; went = false; posted = false; failed = false;
    if :: current[r] == k -> hear(r, reply) :: else fi;
    reply = 0; goto end_idle }
}

/* ---- The client's acknowledgements. One function for each connection. ---------------------------------------------- */
#define CARRIES(r, m) (MESSAGE(r) == (m))

inline forgetSeen() {
  d_step {
    r = 0;
    do :: r < RUNS -> seenByAck[RUNS * c + r] = 0; r++ :: else -> break od;
    r = 0; entry = 0; went = false; completed = false
  }
}

active [2] proctype Acknowledge() {
  byte c = _pid - RUNS - FUNCTIONS;
  byte r;
  byte entry;              /* of the wait for a reconnect */
  bool went, completed;

end_idle:
  atomic { toAck[c] ->
    if
    :: (toAck[c] & 1) -> r = 0
    :: (toAck[c] & 2) -> r = 1
    fi;
    toAck[c] = toAck[c] & ~BIT(r);
    if
    :: /* code: acknowledge callbacks.waiting_for_acknowledgement */
       seenByAck[RUNS * c + r] = awaiting[r];
#if RUNS > 2
       if :: r == 0 -> seenByAck[RUNS * c + 2] = awaiting[2] :: else fi
#endif
    :: FAULT; forgetSeen(); goto end_idle                                     /* API Gateway does not ask again */
    fi;
    r = 0 };

each:
  atomic {
    do
    :: r < RUNS && seenByAck[RUNS * c + r] == 0 -> r++
    :: else -> break
    od;
    if
    :: r == RUNS ->
       if
       :: completed -> goto active_again
       :: !completed -> forgetSeen(); goto end_idle
       fi
    :: r < RUNS ->
       if
       :: /* code: acknowledge tokens.succeed */ succeed(r, seenByAck[RUNS * c + r], 0, false, went)
       :: FAULT; forgetSeen(); goto end_idle
       fi
    fi };
  if
  :: atomic { went ->
       completed = true; counted[r]++;
       if
       :: /* code: acknowledge callbacks.remove_acknowledgement */
          if :: awaiting[r] == seenByAck[RUNS * c + r] -> awaiting[r] = 0 :: else fi
       :: FAULT
       fi;
       goto next }
  :: atomic { !went ->
#ifdef BUG_LATE_ACKNOWLEDGEMENT_NOT_KEPT
       forgotten = true
#else
       if
       :: /* code: _complete_late callbacks.keep_acknowledgement */ late[r] = true
       :: FAULT; forgetSeen(); goto end_idle
       fi
#endif
     }
  fi;
  atomic {
    if
    :: /* code: _complete_late callbacks.reconnect_of */ entry = parked[r]
    :: FAULT; cut = true; forgetSeen(); goto end_idle
    fi;
    if :: entry == 0 -> goto next :: else fi };
  atomic {
    if
    :: /* code: _complete_late tokens.succeed */ succeed(r, entry, 0, true, went);
       if :: went -> completed = true; counted[r]++ :: else fi
    :: FAULT; cut = true; forgetSeen(); goto end_idle
    fi };
  atomic {
    if
    :: /* code: _complete_late callbacks.remove_reconnect */
       if :: parked[r] == entry -> parked[r] = 0 :: else fi
    :: FAULT
    fi };

next:
  atomic { seenByAck[RUNS * c + r] = 0; entry = 0; went = false; r++; goto each };

active_again: /* or not: a first attempt that was acknowledged in time needs no mark */
  atomic {
    if
    :: /* code: acknowledge connections.mark_active */ unmark(c)
    :: true
    fi;
    forgetSeen(); goto end_idle }
}

/* ---- The stream's function. One at a time: all connections of one person are in one shard. ------------------------- */
inline forgetWoken() {
  d_step {
    r = 0;
    do :: r < RUNS -> seenByWake[r] = 0; r++ :: else -> break od;
    r = 0; batch = 0; called = 0; went = false
  }
}

/* A run is woken, then its callback is removed. */
inline wakeUp(r) {
  if
  :: (called & BIT(r)) == 0 ->
     if
     :: /* code: wake tokens.succeed */ succeed(r, seenByWake[r], batch, false, went); called = called | BIT(r)
     :: FAULT; forgetWoken(); goto end_idle                                   /* the stream brings the records again */
     fi
  :: called & BIT(r) ->
     if
     :: /* code: wake callbacks.remove_reconnect */
        if :: parked[r] == seenByWake[r] -> parked[r] = 0 :: else fi
     :: FAULT
     fi;
     seenByWake[r] = 0
  fi;
  went = false
}

active proctype Wake() {
  byte r;
  byte batch;              /* these connections' records */
  byte called;             /* runs whose token was tried */
  bool went;

end_idle:
  atomic { records ->
    batch = records;
    if
    :: /* code: wake callbacks.waiting_for_reconnect */
       do :: r < RUNS -> seenByWake[r] = parked[r]; r++ :: else -> break od;
       r = 0; printf("wake: has read who waits: %d %d\n", parked[0], parked[RUNS > 1])
    :: FAULT; forgetWoken(); goto end_idle
    fi };
  do /* the runs are woken at once, by a thread each */
  :: atomic { seenByWake[0] -> wakeUp(0) }
#if RUNS > 1
  :: atomic { seenByWake[1] -> wakeUp(1) }
#endif
#if RUNS > 2
  :: atomic { seenByWake[2] -> wakeUp(2) }
#endif
  :: atomic { seenByWake[0] + seenByWake[RUNS > 1] + seenByWake[RUNS - 1] == 0 ->
       if
       :: records = records & ~batch
       :: repeats > 0 -> repeats--                                            /* … and once more, though all is done */
       fi;
       forgetWoken(); goto end_idle }
  od
}

/* ---- $connect and $disconnect. ------------------------------------------------------------------------------------ */
inline closes(c) {
  d_step {
    socket[c] = CLOSED; printf("connection %d: closes\n", c);
    tried[0] = tried[0] & ~BIT(c);                                            /* nobody will ask */
#if RUNS > 1
    tried[1] = tried[1] & ~BIT(c);
#endif
#if RUNS > 2
    tried[2] = tried[2] & ~BIT(c);
#endif
  }
}

inline refuse() { socket[c] = CLOSED; goto end_idle }

active [2] proctype Connect() {
  byte c = _pid - RUNS - FUNCTIONS - 3;

end_idle:
  atomic { socket[c] == HANDSHAKE && !(begun & BIT(c)) ->
    begun = begun | BIT(c);
    if
    :: /* code: admit connections.of_user */ true
    :: FAULT; refuse()
    fi;
    if
    :: /* code: admit connections.put */ rows = rows | BIT(c); records = records | BIT(c);
       printf("connection %d: is stored\n", c)
    :: FAULT; refuse()
    fi };
  atomic {
    if
    :: socket[c] = OPEN; printf("connection %d: is open\n", c)
#ifndef THE_LAST_STAYS
    :: socket[c] = OPEN; leaving = leaving | BIT(c)
#endif
#ifdef HALF_OPENS
    :: socket[c] = HALF_OPEN; leaving = leaving | BIT(c)                      /* it dies without a word, then goes */
#endif
    :: FAULT; refuse()                                                        /* its answer was lost: a row without socket */
    fi;
    goto end_idle }
}

inline leaves(c) {
  if
#ifdef BUG_INEXACT_DISCONNECT
  :: rows = 0; stale = 0
#else
  :: /* code: disconnect connections.delete */ remove(c)
#endif
  :: FAULT                                                                    /* or it is lost */
  fi
}

active proctype Disconnect() {
end_idle:
  do
  :: atomic { disconnects[0] > 0 -> disconnects[0]--; leaves(0) }
  :: atomic { disconnects[1] > 0 -> disconnects[1]--; leaves(1) }
  od
}

/* ---- The person, and whoever cancels. -------------------------------------------------------------------------------- */
inline goes(c) {
  closes(c);
  if
  :: disconnects[c] = 1
  :: repeats > 0 -> repeats--; disconnects[c] = 2
  fi
}

inline cancel(r) {
  cancels--; ends(r, CANCELLED)
}

/* What will happen some time is decided early: so a state in which nothing can happen is one in which nothing will. */
#define IS_THERE(c) (socket[c] == OPEN || socket[c] == HALF_OPEN)

active proctype World() {
  atomic {
    if :: timeouts = 0 :: timeouts > 0 fi;
    if :: repeats = 0 :: repeats > 0 fi;
    if :: cancels = 0 :: cancels > 0 fi;
#ifdef ONE_IS_THERE
    socket[0] = OPEN; rows = 1; begun = 1;
    if :: leaving = 1 :: true fi;
#endif
    ready = true }
end:
  do
  :: atomic { ready && socket[0] == NEVER -> socket[0] = HANDSHAKE; young = young | 1 }
  :: atomic { socket[1] == NEVER && socket[0] != NEVER -> socket[1] = HANDSHAKE; young = young | 2 }
  :: atomic { IS_THERE(0) && (leaving & 1) -> leaving = leaving & ~1; goes(0) }
  :: atomic { IS_THERE(1) && (leaving & 2) -> leaving = leaving & ~2; goes(1) }
#if CANCELS
  :: atomic { cancels > 0 && !ENDED(0) -> cancel(0) }
  :: atomic { cancels > 0 && RUNS > 1 && !ENDED(1) -> cancel(1) }
#endif
  od
}

/* ---- Whoever redrives: starts, then deletes. ------------------------------------------------------------------------- */
#if RUNS > 2
active proctype Redrive() {
end_idle:
  atomic { letters[0] > 0 ->
#ifdef BUG_LETTER_DELETED_FIRST
    if :: letters[0]-- :: FAULT; goto end_idle fi };
  atomic {
    if
    :: state[2] == UNBORN -> state[2] = TO_RESOLVE
    :: state[2] != UNBORN
    :: FAULT
    fi; goto end_idle }
#else
    if
    :: /* code: redrive stepfunctions.start_execution */
       if :: state[2] == UNBORN -> state[2] = TO_RESOLVE :: else fi           /* the name is taken: it runs already */
    :: FAULT; goto end_idle
    fi };
  atomic {
    if
    :: /* code: redrive sqs.delete_message_batch */ letters[0]--
    :: FAULT
    fi;
    goto end_idle }
#endif
}
#endif

/* ---- Time, and what has to be true. ----------------------------------------------------------------------------------- */

/* Nothing goes on any more, nobody comes or goes, and this run waits: for nobody who is there. */
inline check(r) {
  if
  :: state[r] == WAITING && token[r] ->
     assert((!late[r] && !forgotten) || cut);                                                      /* a late acknowledgement was overlooked */
     assert(socket[0] != OPEN || (tried[r] & 1));                             /* a connection was overlooked */
     assert(socket[1] != OPEN || (tried[r] & 2))
  :: state[r] == POSTING && token[r] ->
     assert(held[r])
  :: else ->
     assert(ENDED(r))                                                         /* a run is stuck */
  fi
}

/* With nothing else to do, the time of a token is up: the message is posted again, or its life is over. */
inline pass(r) {
  if
  :: state[r] == POSTING -> timedOut(r)
  :: state[r] == WAITING -> expired = true; toResolve(r)
  :: else
  fi
}

inline conclude(r) {
  assert(ENDED(r));
  assert(counted[r] <= 1);
  assert(counted[r] == 0 || state[r] == ACKNOWLEDGED || state[r] == CANCELLED);
  assert(state[r] != ACKNOWLEDGED || handled[MESSAGE(r)]);
  assert(state[r] != DEAD || letters[r] > 0 || (r == 0 && RUNS > 2 && state[RUNS - 1] != UNBORN))
}

active proctype Time() {
  byte r;
end_idle:
  do
  :: atomic { timeout -> printf("nothing goes on any more\n");
       r = 0;
       do :: r < RUNS -> check(r); r++ :: else -> break od;
       r = 0;
       do :: r < RUNS && ENDED(r) -> r++ :: else -> break od;
       if
       :: r == RUNS ->
          r = 0;
          do :: r < RUNS -> conclude(r); r++ :: else -> break od;
          goto end_all
       :: else -> 
          do :: r < RUNS -> pass(r); r++ :: else -> break od
       fi;
       r = 0 }
  od;
end_all: false
}
