use super::*;
use crate::error::ErrorKind;
use crate::source::tasks::{Task, TaskQueue};
use crate::stop::Stop;
use crate::workers;
use std::cell::RefCell;
use std::io::Write;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use timely::dataflow::operators::{Exchange, Inspect, ToStream};

fn lead(processes: usize) -> Lead {
    Lead::at("127.0.0.1:0", processes, "secret".to_owned(), Box::new(|| Ok(()))).expect("a free port")
}

fn wanted(lead: &Lead, token: &str) -> Join {
    let leader = lead.address().expect("known").to_string();
    Join { leader, token: token.to_owned(), patience: Duration::from_secs(20) }
}

fn giving(tasks: u32) -> Giving {
    let tasks = (0..tasks).map(|row_group| Task { shard: 7, row_group });
    Giving { tasks: Arc::new(TaskQueue::new(tasks)), told: Arc::new(|_| ()) }
}

/// A leader with its members, welcomed.
fn met(processes: usize, giving: &Giving, stops: &[Stop]) -> (Leader, Vec<Member>) {
    let lead = lead(processes);
    let members: Vec<JoinHandle<Result<Member>>> = (1..processes)
        .map(|at| {
            let (wanted, stop) = (wanted(&lead, "secret"), stops[at].clone());
            std::thread::spawn(move || Member::join(&wanted, &stop))
        })
        .collect();
    let mut leader = Leader::wait(lead, &stops[0]).expect("all come");
    leader.welcome("{\"to\": \"do\"}", giving).expect("all hear");
    let mut members: Vec<Member> =
        members.into_iter().map(|member| member.join().expect("no panic").expect("let in")).collect();
    members.sort_by_key(Member::process);
    (leader, members)
}

fn stops(many: usize) -> Vec<Stop> {
    (0..many).map(|_| Stop::default()).collect()
}

/// Sums up what its workers receive of numbers that the workers of all processes send each other.
fn summed(peers: Peers, stop: &Stop) -> Result<u64> {
    let sums = workers::run_among(2, Some(peers), stop, |worker| {
        let (sum, index) = (Rc::new(RefCell::new(0)), worker.index() as u64);
        let seen = Rc::clone(&sum);
        worker.dataflow::<u64, _, _>(|scope| {
            (index * 1000..index * 1000 + 1000)
                .to_stream(scope)
                .container::<Vec<_>>()
                .exchange(|number| *number)
                .inspect(move |number| *seen.borrow_mut() += number);
        });
        Ok(move || Ok(*sum.borrow()))
    })?;
    Ok(sums.into_iter().sum())
}

#[test]
fn processes_share_row_groups_and_one_dataflow() {
    let (stops, rows) = (stops(3), Arc::new(AtomicU64::new(0)));
    let told = Arc::clone(&rows);
    let giving =
        Giving { told: Arc::new(move |rows| _ = told.fetch_add(rows, Ordering::Relaxed)), ..giving(20) };
    let (leader, members) = met(3, &giving, &stops);
    let mut numbers: Vec<u64> = Vec::new();
    let works: Vec<_> = members
        .into_iter()
        .zip(stops.iter().skip(1).cloned())
        .map(|(member, stop)| {
            std::thread::spawn(move || -> Result<(Vec<u64>, u64)> {
                assert_eq!(member.handout(), "{\"to\": \"do\"}");
                let mut numbers = Vec::new();
                while let Some((number, task)) = member.take(5)? {
                    assert_eq!((7, number), (task.shard, u64::from(task.row_group)));
                    numbers.push(number);
                }
                member.report(format!("front {}", member.process()))?;
                let sum = summed(member.go()?, &stop)?;
                member.report(format!("pass {}", member.process()))?;
                member.done()?;
                Ok((numbers, sum))
            })
        })
        .collect();
    assert_eq!(leader.reports().expect("all"), ["front 1", "front 2"]);
    let mut sum = summed(leader.go().expect("connected"), &stops[0]).expect("complete");
    assert_eq!(leader.reports().expect("all"), ["pass 1", "pass 2"]);
    leader.done();
    for work in works {
        let (taken, part) = work.join().expect("no panic").expect("complete");
        assert!(taken.is_sorted());
        numbers.extend(taken);
        sum += part;
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..20).collect::<Vec<u64>>());
    assert_eq!(sum, (0..6000).sum::<u64>());
    assert_eq!(rows.load(Ordering::Relaxed), 5 * 22, "told with each taking, the last ones too");
}

#[test]
fn who_cannot_prove_itself_is_not_let_in_and_ends_nothing() {
    let lead = lead(2);
    let (right, wrong) = (wanted(&lead, "secret"), wanted(&lead, "guess"));
    let mut stranger = TcpStream::connect(lead.address().expect("known")).expect("connected");
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    let come = std::thread::spawn(move || {
        let refused = Member::join(&wrong, &Stop::default()).map(drop).expect_err("refused");
        (refused, Member::join(&right, &Stop::default()).map(|member| member.process()))
    });
    let mut leader = Leader::wait(lead, &Stop::default()).expect("one comes");
    leader.welcome("{}", &giving(0)).expect("heard");
    let (refused, let_in) = come.join().expect("no panic");
    assert_eq!(refused.kind(), ErrorKind::Config);
    let told = refused.to_string();
    assert!(told.contains(TOKEN) && !told.contains("secret") && !told.contains("guess"), "{told}");
    assert_eq!(let_in.expect("let in"), 1);
}

#[test]
fn a_member_that_goes_ends_the_run_and_one_that_fails_says_why() {
    for fails in [false, true] {
        let stops = stops(2);
        let (leader, mut members) = met(2, &giving(0), &stops);
        let member = members.pop().expect("one");
        if fails {
            member.failed(&Error::unavailable("disk full"));
        }
        drop(member);
        let error = leader.reports().expect_err("nobody reports");
        let told = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let words = if fails { "because=disk full" } else { "remedy=run the same command again" };
        assert!(told.contains("process=1") && told.contains(words), "{told}");
    }
}

#[test]
fn a_leader_that_goes_ends_its_members() {
    let stops = stops(3);
    let (leader, members) = met(3, &giving(0), &stops);
    drop(leader);
    for member in members {
        let told = member.go().map(drop).expect_err("nobody leads").to_string();
        assert!(told.contains("stopped by the leading process"), "{told}");
    }
}

/// A process that dies in the middle of the dataflow: those of the others that read from it must not wait for ever.
#[test]
fn a_connection_that_breaks_ends_the_dataflow() {
    let stops = stops(2);
    let (leader, mut members) = met(2, &giving(0), &stops);
    let member = members.pop().expect("one");
    let broken = std::thread::spawn(move || {
        let peers = member.go().expect("connected");
        // Nothing is ever said on it.
        drop(peers);
        member
    });
    let peers = leader.go().expect("connected");
    drop(broken.join().expect("no panic"));
    let told = summed(peers, &stops[0]).expect_err("half of the workers are missing").to_string();
    assert!(told.contains("process lost"), "{told}");
}

#[test]
fn a_leader_that_waits_can_be_stopped() {
    let stop = Stop::default();
    let (lead, flag) = (lead(2), stop.clone());
    let waits = std::thread::spawn(move || Leader::wait(lead, &flag).map(drop));
    stop.raise(Error::new(ErrorKind::Interrupted, "enough"));
    assert_eq!(waits.join().expect("no panic").expect_err("stopped").kind(), ErrorKind::Interrupted);
    let gone = Lead { waiting: Box::new(|| Err(Error::unavailable("a child is gone"))), ..self::lead(2) };
    assert!(
        Leader::wait(gone, &Stop::default()).map(drop).expect_err("gone").to_string().contains("a child")
    );
}

#[test]
fn nobody_who_leads_is_told() {
    let lead = lead(2);
    let wanted = Join { patience: Duration::from_millis(100), ..wanted(&lead, "secret") };
    drop(lead);
    let told = Member::join(&wanted, &Stop::default()).map(drop).expect_err("nobody").to_string();
    assert!(told.contains("no leader") && told.contains("--wait"), "{told}");
}
